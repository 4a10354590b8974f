"""The random value that a token is bound to: an id is given out again after a restore, the value is not."""

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
    """Say whether claims were issued for what has a binding.

    None is a row from before bindings, whose tokens carry none; a token without one is good only there.
    """
    claimed = claims.get(CLAIM)
    if binding is None or claimed is None:
        return binding is None and CLAIM not in claims
    return isinstance(claimed, str) and hmac.compare_digest(claimed.encode("utf-8", "replace"), binding.encode())
