"""Addresses of mail: which are one mailbox, which are two, and which are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.mailboxes import normalize, to_ascii

SAME = {
    "upper case": ("Carol@Example.COM", "carol@example.com"),
    "space around it": (" carol@example.com ", "carol@example.com"),
    "a domain in capitals": ("p@BÜCHER.example", "p@bücher.example"),
    "a domain in punycode": ("p@xn--bcher-kva.example", "p@bücher.example"),
    "punycode in capitals": ("p@XN--BCHER-KVA.example", "p@bücher.example"),
    "a domain in NFD": ("p@bu\N{COMBINING DIAERESIS}cher.example", "p@bücher.example"),
    "a sharp s": ("info@faß.de", "info@faß.de"),
    "a sharp s in punycode": ("info@xn--fa-hia.de", "info@faß.de"),
    "a capital sharp s": ("info@FA\N{LATIN CAPITAL LETTER SHARP S}.de", "info@faß.de"),
    "hyphens that look like an encoding": ("a@r3---sn.example", "a@r3---sn.example"),
}


@pytest.mark.parametrize(("typed", "stored"), SAME.values(), ids=SAME)
def test_an_address_has_one_form_however_it_is_written(typed: str, stored: str) -> None:
    assert normalize(typed) == normalize(stored) == stored


NONE = {
    "no at sign": "carol",
    "a quoted local part": '"carol"@example.com',
    "a long s": "\N{LATIN SMALL LETTER LONG S}am@example.com",
    "a dotless i": "adm\N{LATIN SMALL LETTER DOTLESS I}n@example.com",
    "an umlaut": "ä@example.com",
    "half a surrogate pair before the @": "\udcff@example.com",
    "a Kelvin sign": "\N{KELVIN SIGN}arl@example.com",
    "a dotted capital I": "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}nfo@example.com",
    "a Kelvin sign in the domain": "a@\N{KELVIN SIGN}.example",
    "full-width letters": "a@\N{FULLWIDTH LATIN SMALL LETTER E}xample.com",
    "a ligature": "a@\N{LATIN SMALL LIGATURE FI}sh.example",
    "an ideographic full stop": "a@example\N{IDEOGRAPHIC FULL STOP}com",
    "a full-width full stop": "a@bücher\N{FULLWIDTH FULL STOP}example",
    "a soft hyphen": "a@ex\N{SOFT HYPHEN}ample.com",
    "a zero-width joiner": "a@ex\N{ZERO WIDTH JOINER}ample.com",
    "a variation selector": "a@example\ufe0f.com",
    "a zero-width space": "a@ex\N{ZERO WIDTH SPACE}ample.com",
    "an emoji": "a@\N{GRINNING FACE}.example",
    "punycode of nothing": "a@xn--.example",
    "punycode of ASCII": "a@xn--fass-.de",
    "punycode of a forbidden letter": "a@xn--a.example",
    "an empty label": "a@bücher..example",
    "a label that is too long": f"a@{'ü' * 64}.example",
    "half a surrogate pair": "a@\udcff.example",
}


@pytest.mark.parametrize("typed", NONE.values(), ids=NONE)
def test_what_would_be_another_mailbox_or_none_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each for its own reason
        normalize(typed)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("carol@example.com", "carol@example.com"),
        ("p@bücher.example", "p@xn--bcher-kva.example"),
        ("info@faß.de", "info@xn--fa-hia.de"),
    ],
)
def test_a_mail_goes_to_the_domain_that_was_typed(stored: str, sent: str) -> None:
    assert to_ascii(stored) == sent
    assert normalize(sent) == stored


@given(st.text(max_size=12), st.text(max_size=12))
def test_whatever_is_accepted_has_reached_its_form_and_has_no_new_ascii_letters(local: str, domain: str) -> None:
    typed = f"{local}@{domain}"
    try:
        stored = normalize(typed)
    except ValueError:
        return
    assert normalize(stored) == stored
    letters = sorted(letter for letter in stored if letter.isascii() and letter.isalpha())
    most = sum(letter.isascii() and letter.isalpha() for letter in typed)
    assert "xn--" in typed.lower() or len(letters) <= most
