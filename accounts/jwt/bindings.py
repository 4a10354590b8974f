"""The random value that a token is bound to. After a restore an id may be assigned again; the value is not."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

CLAIM = "bind"
BYTES = 16


def new_binding() -> str:
    """Return a value for a new session: 128 random bits in base64url."""
    return secrets.token_urlsafe(BYTES)


def is_bound(claims: Any, binding: str | None) -> bool:
    """Return whether claims were issued for the row with ``binding``.

    None is a row from before the column: its tokens carry no binding, and only they are valid for it.
    """
    claimed = claims.get(CLAIM)
    if binding is None or claimed is None:
        return binding is None and CLAIM not in claims
    return isinstance(claimed, str) and hmac.compare_digest(claimed.encode("utf-8", "replace"), binding.encode())
