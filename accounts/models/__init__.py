"""The models of accounts."""

from accounts.models.lockout import Lockout
from accounts.models.roles import Role, Scope, role_names, scope_names
from accounts.models.sessions import RefreshToken, Session
from accounts.models.signing import SigningKey
from accounts.models.users import User, new_stamp, password_changed

__all__ = [
    "Lockout",
    "RefreshToken",
    "Role",
    "Scope",
    "Session",
    "SigningKey",
    "User",
    "new_stamp",
    "password_changed",
    "role_names",
    "scope_names",
]
