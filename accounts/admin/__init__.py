"""The operator's console, one file for each subject; Django imports this one."""

from accounts.admin import roles, sessions, users

__all__ = ["roles", "sessions", "users"]
