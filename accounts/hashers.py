"""How passwords are stored."""

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher

from accounts.hashing import hashing


class BCryptSHA256Hasher(BCryptSHA256PasswordHasher):
    """bcrypt over SHA-256, so that nothing after byte 72 of a password is ignored; 2**BCRYPT_ROUNDS iterations.

    Django rehashes a password at its next use when the cost has changed (ASVS 5.0, 11.4.2).
    """

    @property
    def rounds(self) -> int:  # type: ignore[override]  # Django has a class attribute; settings are read when used
        """The cost factor as a power of two."""
        return int(settings.BCRYPT_ROUNDS)

    def encode(self, password: str, salt: str | bytes) -> str:
        """Return the hash of a password; ``verify`` calls it too. Raises HashingBusy."""
        encode: Callable[[str, str | bytes], str] = super().encode  # type: ignore[assignment]  # bcrypt's salt is bytes
        return hashing.run(partial(encode, password, salt))
