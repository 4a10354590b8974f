"""How passwords are stored."""

from django.conf import settings
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher


class BCryptSHA256Hasher(BCryptSHA256PasswordHasher):
    """bcrypt over SHA-256, so that nothing after byte 72 of a password is ignored; 2**BCRYPT_ROUNDS iterations.

    Django rehashes a password at its next use when the cost has changed (ASVS 5.0, 11.4.2).
    """

    @property
    def rounds(self) -> int:  # type: ignore[override]  # Django has a class attribute; settings are read when used
        """The cost factor as a power of two."""
        return int(settings.BCRYPT_ROUNDS)
