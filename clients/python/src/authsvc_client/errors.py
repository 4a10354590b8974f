"""Why a request is not let through. No message holds a credential, and no cause or context that does is attached."""

from __future__ import annotations

from typing import ClassVar

CHALLENGE = 'Bearer realm="authsvc", ApiKey realm="authsvc"'  # authsvc's own, for what is refused without asking it


class AuthsvcError(Exception):
    """A request that must not be let through; ``status`` is what to answer it with."""

    status: ClassVar[int]
    detail: ClassVar[str]

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.detail)

    @property
    def headers(self) -> dict[str, str]:
        """What the answer owes its reader."""
        return {}


class Unauthenticated(AuthsvcError):  # noqa: N818  named by what it means, as the answers are
    """401: no usable credential. ``challenge`` is the value for WWW-Authenticate."""

    status = 401
    detail = "A good credential is needed here."

    def __init__(self, challenge: str = CHALLENGE) -> None:
        super().__init__()
        self.challenge = challenge

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": self.challenge}


class Forbidden(AuthsvcError):  # noqa: N818  as above
    """403: the credential is good, and lacks a scope or a role."""

    status = 403
    detail = "The credential is good, but it does not grant this."


class _ComeAgain(AuthsvcError):  # noqa: N818  as above
    """One that may say after how many seconds to come again."""

    def __init__(self, message: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class RateLimited(_ComeAgain):
    """429: the credential's rate limit is used up; ``retry_after`` is in seconds, None where that is not known."""

    status = 429
    detail = "Too many requests; try again later."


class Unavailable(_ComeAgain):
    """503: authsvc cannot be reached in time, or what answered is no proper answer of it. Nothing is known, so nothing
    passes. Its text says what went wrong, for the operator."""

    status = 503
    detail = "It cannot be told now whether this request may pass; try again shortly."
