"""The project's hasher, counted."""

from typing import ClassVar

from accounts.hashers import BCryptSHA256Hasher


class CountingHasher(BCryptSHA256Hasher):
    """Notes the cost, as bcrypt writes it in its salt, of each hash that it computes."""

    costs: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str | bytes) -> str:
        text = salt.decode() if isinstance(salt, bytes) else salt
        self.costs.append(text.split("$")[2])
        return super().encode(password, salt)
