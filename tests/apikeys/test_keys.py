"""The form of a key: what is made, what is recognised, and that no slip of a finger passes."""

import hashlib
import re
import string
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apikeys import keys

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def recomputed(body: str) -> str:
    """Return the checksum as docs/api.md describes it, by arithmetic other than the product's."""
    value = zlib.crc32(body.encode())
    return "".join(DIGITS[value // 62**place % 62] for place in range(5, -1, -1))


def well_formed(random: str) -> str:
    """Return the key around 43 characters."""
    return f"sk_{random}{recomputed(f'sk_{random}')}"


def test_a_key_has_the_promised_form_and_a_checksum_that_others_can_recompute() -> None:
    made = [keys.generate("sk").plaintext for _ in range(200)]
    assert not [key for key in made if not re.fullmatch(r"sk_[0-9A-Za-z]{49}", key, re.ASCII)]
    assert [key[-6:] for key in made] == [recomputed(key[:-6]) for key in made]


def test_no_key_comes_twice_and_every_place_takes_many_values() -> None:
    made = [keys.generate("sk").plaintext for _ in range(2000)]
    assert len(set(made)) == 2000
    # A fair draw leaves a value out of a place in fewer than one of a thousand million runs.
    assert {len({key[place] for key in made}) for place in range(3, 46)} == {62}


def test_what_is_stored_is_the_sha256_of_the_whole_key_and_its_first_eleven_characters() -> None:
    key = keys.generate("sk")
    assert key.digest == hashlib.sha256(key.plaintext.encode()).digest()
    assert key.prefix == key.plaintext[:11]


def test_a_new_key_does_not_show_its_plaintext_or_digest_when_it_is_printed() -> None:
    key = keys.generate("sk")
    assert key.plaintext not in f"{key!r} {key}"
    assert repr(key.digest) not in f"{key!r} {key}"


@pytest.mark.parametrize("prefix", ["sk", "a", "Live_1", "0", "x" * 20], ids=lambda prefix: f"{len(prefix)} long")
def test_every_prefix_that_the_settings_allow_makes_keys_that_are_recognised(prefix: str) -> None:
    key = keys.generate(prefix)
    assert keys.is_well_formed(key.plaintext)
    assert key.prefix == f"{prefix}_{key.plaintext[len(prefix) + 1 :][:8]}"
    assert len(key.prefix) <= 29


def test_every_typo_of_one_character_is_refused() -> None:
    key = keys.generate("sk").plaintext
    typos = {key[:at] + wrong + key[at + 1 :] for at in range(len(key)) for wrong in string.printable} - {key}
    assert len(typos) == len(key) * (len(string.printable) - 1)
    assert not [typo for typo in typos if keys.is_well_formed(typo)]


def test_characters_swapped_left_out_or_doubled_are_refused() -> None:
    key = keys.generate("sk").plaintext
    swapped = {key[:at] + key[at + 1] + key[at] + key[at + 2 :] for at in range(len(key) - 1)} - {key}
    missing = {key[:at] + key[at + 1 :] for at in range(len(key))}
    doubled = {key[:at] + key[at] + key[at:] for at in range(len(key))}
    assert min(len(swapped), len(missing), len(doubled)) > 40
    assert not [slip for slip in swapped | missing | doubled if keys.is_well_formed(slip)]


@pytest.mark.parametrize("around", ["{} ", " {}", "{}\n", "\n{}", "{}\x00", "{}{}", '"{}"', "{},", "Bearer {}"])
def test_a_key_with_something_around_it_is_refused(around: str) -> None:
    key = keys.generate("sk").plaintext
    assert keys.is_well_formed(key)
    assert not keys.is_well_formed(around.replace("{}", key))


def test_look_alikes_of_base62_are_refused_whatever_their_checksum() -> None:
    for digit in "\u0663\uff13\u00e9\u017f\u212a":  # Arabic and full-width 3, e acute, long s, the Kelvin sign
        body = "sk_" + digit * 43
        assert not keys.is_well_formed(body + recomputed(body))


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(
    st.text()
    | st.from_regex(r"sk_[0-9A-Za-z]{49}", fullmatch=True)
    | st.from_regex(keys.FORM)
    | st.builds(well_formed, st.text(DIGITS, min_size=43, max_size=43))
)
def test_no_text_at_all_breaks_the_recogniser(text: str) -> None:
    has_form = re.fullmatch(r"[0-9A-Za-z_]{1,20}_[0-9A-Za-z]{49}", text) is not None
    assert keys.is_well_formed(text) is (has_form and text[-6:] == recomputed(text[:-6]))
    assert not keys.is_well_formed(text + "é")
