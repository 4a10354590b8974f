"""authsvc: users, API keys and the operator's console in one self-hosted box."""

__version__ = "0.1.0"
