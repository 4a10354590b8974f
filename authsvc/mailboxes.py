"""E-mail addresses in the one form in which they are stored and compared: one mailbox, one form. Pure, no Django.

Lower case and Unicode's NFC, with the domain as IDNA 2008 has it (RFC 5891): ``info@faß.de`` and ``info@fass.de`` are
two mailboxes, ``p@bücher.example`` and ``p@xn--bcher-kva.example`` are one. A domain in which that would turn another
letter into an ASCII one, such as the Kelvin sign into a k, is refused: it would be somebody else's. What is
before the @ is ASCII: another letter there may look like one, and few servers take any (RFC 6531).
"""

import unicodedata

import idna

# Domains have these as dots in some input methods; RFC 3490 maps them, RFC 5891 does not.
OTHER_DOTS = frozenset("\u3002\uff0e\uff61")


def normalize(address: str) -> str:
    """Return an address as it is stored. Raises ValueError for one that cannot be mailed to as it was typed."""
    local, at, domain = address.strip().rpartition("@")
    if not at or not local.isascii() or local.startswith('"'):  # a quoted form is another spelling of an unquoted one
        raise ValueError("not an address")
    return f"{local.lower()}@{normalize_domain(lower(domain))}"


def normalize_domain(domain: str) -> str:
    """Return a domain in lower case with its labels as Unicode. Raises ValueError."""
    if not OTHER_DOTS.isdisjoint(domain):
        raise ValueError("another character for a dot")
    # ASCII labels are no matter of IDNA, which refuses some that exist, with hyphens in their third and fourth place.
    if domain.isascii() and "xn--" not in domain:
        return domain
    # Both ways, so that a label that only looks like an encoded one is refused.
    return unicodedata.normalize("NFC", idna.decode(idna.encode(domain, strict=True), strict=True))


def lower(text: str) -> str:
    """Return a text in lower case and NFC. Raises ValueError where a letter beyond ASCII would become an ASCII one."""
    for letter in text:
        if not letter.isascii() and any(map(str.isascii, unicodedata.normalize("NFC", letter.lower()))):
            raise ValueError("a letter that would become another")
    return unicodedata.normalize("NFC", text.lower())


def to_ascii(address: str) -> str:
    """Return a normalized address as SMTP takes it (RFC 5891). Django encodes by IDNA 2003, which turns ß into ss."""
    local, _, domain = address.rpartition("@")
    return address if domain.isascii() else f"{local}@{idna.encode(domain, strict=True).decode()}"
