"""Why a request is rejected. No message holds a credential, and no cause or context that does is attached."""

from __future__ import annotations

from typing import ClassVar

BEARER_CHALLENGE = 'Bearer realm="authsvc"'
CHALLENGE = f'{BEARER_CHALLENGE}, ApiKey realm="authsvc"'  # as authsvc sends it, for what is rejected without a call


class AuthsvcError(Exception):
    """A request that must be rejected, with the HTTP status ``status``."""

    status: ClassVar[int]
    detail: ClassVar[str]

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.detail)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the status requires."""
        return {}


class Unauthenticated(AuthsvcError):  # noqa: N818  named by its meaning, as HTTP statuses are
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
    """403: the credential is valid and lacks a scope or a role."""

    status = 403
    detail = "The credential is good, but it does not grant this."


class _RetryLater(AuthsvcError):  # noqa: N818  as above
    """An error that may carry a Retry-After, in seconds."""

    def __init__(self, message: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class RateLimited(_RetryLater):
    """429: the rate limit of the credential is exceeded; ``retry_after`` is in seconds, or None where it is unknown."""

    status = 429
    detail = "Too many requests; try again later."


class Unavailable(_RetryLater):
    """503: authsvc did not respond in time, or the response is not a valid one. The request is rejected, since nothing
    is known of its credential. The message is for the operator."""

    status = 503
    detail = "It cannot be told now whether this request may pass; try again shortly."
