"""Bodies of requests: JSON, and forms where OAuth has them."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from rest_framework import exceptions, negotiation, parsers, renderers, status
from rest_framework.request import Request

from authsvc.api import bounded_json
from authsvc.api.bodies import reject_byte_order_mark, require_plain_utf8


class PayloadTooLarge(exceptions.APIException):
    """413: the body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request body is too large."


class JSONParser(parsers.BaseParser):
    """``application/json`` as ``bounded_json`` reads it, at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes.

    Raises PayloadTooLarge, ParseError for what is not JSON, and ValidationError for JSON beyond the bounds.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        return bounded_json.loads(read_body(stream))


def read_body(stream: Any) -> bytes:
    """Return a whole body. Raises PayloadTooLarge for one of more than DATA_UPLOAD_MAX_MEMORY_SIZE bytes."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise PayloadTooLarge
    reject_byte_order_mark(body)
    return body


class FormParser(parsers.BaseParser):
    """``application/x-www-form-urlencoded``, as OAuth's requests are written; a repeated parameter is a mistake
    (RFC 6749, section 3.2)."""

    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        body = read_body(stream)
        try:
            found = parse_qs(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError as error:
            raise exceptions.ParseError("The request body is not a valid form.") from error
        if any(len(values) > 1 for values in found.values()):
            raise exceptions.ParseError("A parameter is given twice.")
        return Form({name: values[0] for name, values in found.items()})


class Form(dict[str, str]):
    """What a form says."""


class JSONNegotiation(negotiation.BaseContentNegotiation):
    """There is one representation, so no Accept header can ask for another; a body is of a type, not of a range.

    Raises UnsupportedBody, see ``authsvc.api.bodies``.
    """

    def select_parser(self, request: Request, parsers: Iterable[parsers.BaseParser]) -> parsers.BaseParser | None:
        require_plain_utf8(request)
        if "*" in request.content_type.partition(";")[0]:
            return None
        return negotiation.DefaultContentNegotiation().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Iterable[renderers.BaseRenderer], format_suffix: str | None = None
    ) -> tuple[renderers.BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
