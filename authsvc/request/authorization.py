"""The Authorization header."""


def credentials(header: str, scheme: str) -> str | None:
    """Return the credentials of an Authorization header, or None for another scheme than ``scheme`` (lower case).

    One or more spaces separate the two, and nothing else does (RFC 9110, section 11.4).
    """
    name, _, found = header.partition(" ")
    return found.lstrip(" ") if name.lower() == scheme else None
