"""What an API key looks like: generate, recognise, digest. Pure, no Django, no clock, no database.

    sk_ 43 base62 characters from a CSPRNG   6 base62 characters of CRC32 over all before them

43 characters of 62 hold 256 bits. The checksum refuses a typo or junk before the database is asked; it is no secret
and proves nothing. A key is random and long, so a fast unsalted hash is the right one to store: there is nothing to
guess from a stolen digest, whereas a password needs a slow hash because people choose it (ASVS 5.0, 11.4.1).
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]  # by the number that two digits stand for
RANDOM_LENGTH, CHECKSUM_LENGTH, SHOWN_LENGTH = 43, 6, 8
# Any prefix is read, so that changing API_KEY_PREFIX leaves the keys of before at work.
FORM = re.compile(r"[0-9A-Za-z_]{1,20}_[0-9A-Za-z]{49}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at its birth: the plaintext for its owner, and the two things that are stored."""

    plaintext: str = field(repr=False)
    digest: bytes = field(repr=False)
    prefix: str


def generate(prefix: str) -> NewKey:
    """Return a new random key that starts with ``prefix`` and an underscore."""
    body = f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    plaintext = body + checksum(body)
    return NewKey(plaintext, digest(plaintext), plaintext[: len(prefix) + 1 + SHOWN_LENGTH])


def is_well_formed(text: str) -> bool:
    """Return whether a text has the form of a key and a correct checksum."""
    return FORM.fullmatch(text) is not None and checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def checksum(text: str) -> str:
    """Return the CRC32 of an ASCII text as six base62 digits, the most significant first."""
    rest, last = divmod(zlib.crc32(text.encode("ascii")), len(PAIRS))
    first, middle = divmod(rest, len(PAIRS))
    return PAIRS[first] + PAIRS[middle] + PAIRS[last]


def digest(text: str) -> bytes:
    """Return the SHA-256 of a whole key: 32 bytes."""
    return hashlib.sha256(text.encode("ascii")).digest()
