"""How much an answer says of what is wrong with a request, however much is."""

from rest_framework.exceptions import ErrorDetail

NAMED_ERRORS = 20  # in one answer; the others are counted
MORE_ERRORS = "more_errors"  # the code of the one that counts
ECHO_LENGTH = 100  # characters of a client's text that an answer repeats at most


def more_errors(count: int) -> ErrorDetail:
    """Return the error that stands for those that are not named."""
    return ErrorDetail(f"There are {count} more errors.", MORE_ERRORS)


def shortened(text: str) -> str:
    """Return no more of a client's text than an answer repeats."""
    return text[:ECHO_LENGTH]
