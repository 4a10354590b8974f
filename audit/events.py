"""The security events, each ``subject:action``."""

from enum import StrEnum


class Event(StrEnum):
    """One kind of security event."""

    USER_SIGNED_UP = "user:signed_up"
    USER_CREATED = "user:created"
    USER_CHANGED = "user:changed"
    USER_ENABLED = "user:enabled"
    USER_DISABLED = "user:disabled"
    USER_DELETED = "user:deleted"
    USER_EVERYTHING_ENDED = "user:everything_ended"
    USER_LOGGED_IN = "user:logged_in"
    USER_LOGIN_FAILED = "user:login_failed"
    USER_LOCKED_OUT = "user:locked_out"
    USER_UNLOCKED = "user:unlocked"
    USER_PASSWORD_CHANGED = "user:password_changed"  # noqa: S105  an event
    USER_PASSWORD_RESET_ASKED = "user:password_reset_asked"  # noqa: S105  an event
    USER_PASSWORD_RESET = "user:password_reset"  # noqa: S105  an event
    USER_EMAIL_CONFIRMED = "user:email_confirmed"
    SESSION_ENDED = "session:ended"
    SESSION_REFRESH_REUSED = "session:refresh_reused"
    SIGNING_KEY_ROTATED = "signing_key:rotated"
    ROLE_GRANTED = "role:granted"
    ROLE_REVOKED = "role:taken_away"
    ROLE_CHANGED = "role:changed"
    ROLE_DELETED = "role:deleted"
    SCOPE_CHANGED = "scope:changed"
    SCOPE_DELETED = "scope:deleted"
    KEY_ISSUED = "api_key:issued"
    KEY_CHANGED = "api_key:changed"
    KEY_ENABLED = "api_key:enabled"
    KEY_DISABLED = "api_key:disabled"
    KEY_FIRST_USED = "api_key:first_used"
    KEY_ROTATED = "api_key:rotated"
    KEY_ROTATION_ASKED = "api_key:rotation_asked"
    KEY_OUTGOING_RETIRED = "api_key:outgoing_secret_retired"
    KEY_REVOKED = "api_key:revoked"
    KEY_REVOKED_LEAK = "api_key:revoked_leak"
    KEY_REFUSED = "api_key:refused"
    AUDIT_PRUNED = "audit:pruned"
    DATABASE_RESTORED = "database:restored"
