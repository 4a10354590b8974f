"""The operator's view of keys, one file for each subject; Django imports this one."""

from apikeys.admin import keys

__all__ = ["keys"]
