"""The keys that sign access tokens under ES256, RS256 and EdDSA."""

from __future__ import annotations

from django.db import models


class SigningKey(models.Model):
    """A key pair: the private half encrypted under SECRET_KEY, the public half as /.well-known/jwks.json shows it."""

    kid = models.CharField(max_length=43, unique=True, help_text="RFC 7638 thumbprint of the public key.")
    algorithm = models.CharField(max_length=10)
    private_key = models.BinaryField(help_text="PKCS #8 PEM in a Fernet token.")
    public_jwk = models.JSONField()
    created_at = models.DateTimeField()
    # Published from the start, so that caches of the key set have it before the first token that it signs.
    signs_from = models.DateTimeField()
    # Published until then, by when the last token that it signed has expired; NULL for a key that has no successor.
    retires_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.algorithm} key {self.kid[:8]}"
