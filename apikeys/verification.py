"""Whether a key may be used, now and from here. This module reads and raises; ``recording`` writes."""

from __future__ import annotations

from datetime import datetime

from apikeys import keys
from apikeys.models import APIKey, Outcome
from apikeys.queries import key_by_digest
from authsvc.problems import InvalidCredential
from authsvc.request.addresses import is_listed
from authsvc.request.context import RequestContext

SCHEME = "ApiKey"


class KeyRejected(InvalidCredential):
    """401 for a key that exists and may not be used; ``outcome`` is what the attempt counts as."""

    def __init__(self, key: APIKey, outcome: Outcome, reason: str) -> None:
        super().__init__(reason, scheme=SCHEME)
        self.key, self.outcome = key, outcome


def verify_key(text: str, *, now: datetime, context: RequestContext, key_id: str | None = None) -> APIKey:
    """Return the key whose plaintext is ``text``, its owner's scopes narrowed to the key's.

    Raises what ``authorize_use`` raises, and InvalidCredential for a text that is malformed or unknown, or whose key
    has another id than ``key_id``. One query; none for a malformed text.
    """
    if not keys.is_well_formed(text):
        raise InvalidCredential("malformed", scheme=SCHEME)
    key = key_by_digest(keys.digest(text))
    if key is None:
        raise InvalidCredential("unknown", scheme=SCHEME)
    if key_id not in (None, str(key.pk)):
        raise InvalidCredential("another key's id", scheme=SCHEME)
    authorize_use(key, now=now, context=context)
    return key


def authorize_use(key: APIKey, *, now: datetime, context: RequestContext) -> None:
    """Narrow what the owner may do to what the key may do.

    Raises KeyRejected for a ``rejection_reason``, or for a client outside the key's addresses.
    """
    rejection = rejection_reason(key, now)
    if rejection is not None:
        raise KeyRejected(key, *rejection)
    if key.allowed_ips and not is_listed(context.address, key.allowed_ips):
        raise KeyRejected(key, Outcome.ADDRESS, "address not allowed")
    key.owner.scopes = key.effective_scopes  # the owner has no roles here: a key carries none


def rejection_reason(key: APIKey, now: datetime) -> tuple[Outcome, str] | None:
    """Return why a key with its secret cannot be used from anywhere, or None where it can."""
    if key.is_revoked:
        return Outcome.REVOKED, "revoked"
    if key.secret.is_retired(now):
        return Outcome.REVOKED, "secret retired"
    if key.expires_at <= now:
        return Outcome.EXPIRED, "expired"
    if not key.is_enabled:
        return Outcome.DISABLED, "disabled"
    if not key.owner.is_active:
        return Outcome.DISABLED, "owner disabled"
    return None
