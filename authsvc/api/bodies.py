"""What is checked of a request's body before it is parsed: that it is not encoded, and that its text is UTF-8."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rest_framework import exceptions
from rest_framework.request import Request

UTF_8 = {"utf-8", "utf8", "us-ascii", "ascii"}  # charset parameters of text that UTF-8 reads
MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\0\0\xfe\xff": "UTF-32"}


class UnsupportedBody(exceptions.APIException):
    """415, with the header that names what the service accepts (RFC 9110, section 15.5.16)."""

    status_code = 415

    def __init__(self, detail: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(detail)
        self.headers = dict(headers)


def require_plain_utf8(request: Request) -> None:
    """Raise UnsupportedBody for a Content-Encoding, and for a charset other than UTF-8."""
    codings = request.META.get("HTTP_CONTENT_ENCODING", "").lower().split(",")
    if any(coding.strip() not in ("", "identity") for coding in codings):
        detail = "The request body is encoded (Content-Encoding); send it as it is."
        raise UnsupportedBody(detail, {"Accept-Encoding": "identity"})
    charset = (request.content_params or {}).get("charset", "utf-8")
    if charset.lower() not in UTF_8:
        raise UnsupportedBody("The charset of the request body is not supported; send it as UTF-8.")


def reject_byte_order_mark(body: bytes) -> None:
    """Raise ParseError for a body that begins with a byte order mark, or is UTF-16 or UTF-32 without one.

    JSON between systems is UTF-8 without a mark (RFC 8259, section 8.1).
    """
    for mark, name in MARKS.items():
        if body.startswith(mark):
            raise exceptions.ParseError(
                f"The request body begins with a {name} byte order mark; send UTF-8 without one."
            )
    if b"\0" in body[:4]:
        raise exceptions.ParseError("The request body is not UTF-8; it looks like UTF-16 or UTF-32.")
