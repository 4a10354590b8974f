"""What the API's views share: JSON in, JSON out, strictly."""

import re
from collections.abc import Container, Iterable, Mapping, Set
from heapq import nsmallest
from typing import Any
from urllib.parse import parse_qs

import orjson
from django.conf import settings
from django.core.validators import RegexValidator
from django.http import QueryDict
from rest_framework import exceptions, negotiation, parsers, renderers, serializers, status
from rest_framework.request import Request

from authsvc import bounded_json
from authsvc.bodies import reject_byte_order_mark, require_plain_utf8
from authsvc.error_lists import NAMED_ERRORS, more_errors, shortened


class PayloadTooLarge(exceptions.APIException):
    """413: the body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request body is too large."


class JSONRenderer(renderers.BaseRenderer):
    """``application/json`` by orjson; datetimes in UTC end in ``Z``."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else orjson.dumps(data, option=orjson.OPT_UTC_Z)


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

    Raises UnsupportedBody, see ``authsvc.bodies``.
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


class StrictCharField(serializers.CharField):
    """A JSON string; a number is a mistake, not a text. One that is too long is not looked at further."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text = super().to_internal_value(data)
        if self.max_length is not None and len(text) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return text


class BoundedListField(serializers.ListField):
    """A JSON array; the items of one that is too long are not looked at."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        super().__init__(max_length=max_length, **options)
        self.most = max_length

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > self.most:
            self.fail("max_length", max_length=self.most)
        return super().to_internal_value(data)


class BoundedChoiceField(serializers.ChoiceField):
    """One of some texts; the error names them, and does not repeat what was sent."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            message = f"Must be one of {', '.join(map(str, self.choices))}."
            raise serializers.ValidationError(message, code="invalid_choice")
        return data


class StrictRegexField(StrictCharField):
    """A JSON string of a form, which the document shows as its ``pattern``."""

    def __init__(self, regex: str, message: str, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        self.validators.append(RegexValidator(regex, message))


class StrictIntegerField(serializers.IntegerField):
    """A JSON whole number; ``true``, ``1.0`` and ``"1"`` are mistakes."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class QueryIntegerField(serializers.IntegerField):
    """A whole number in a query string, in ASCII digits and nothing else."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch(r"-?[0-9]{1,9}", str(data), re.ASCII):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    """A JSON truth value; ``1`` and ``"true"`` are mistakes."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a misspelt limit must not be a limit that is not there."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = data.keys() - self.fields.keys()
            if unknown:
                raise serializers.ValidationError(unknown_fields(unknown))
        return super().to_internal_value(data)


def unknown_fields(names: Set[str]) -> dict[str, list[exceptions.ErrorDetail]]:
    """Return the errors of fields that do not exist: the first in order by their names, the rest as a number."""
    named = nsmallest(NAMED_ERRORS, names)
    message = exceptions.ErrorDetail("There is no such field here.", "unknown")
    detail = {shortened(name): [message] for name in named}
    if len(names) > len(named):
        detail["body"] = [*detail.get("body", []), more_errors(len(names) - len(named))]
    return detail


def parse(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated body of a request, or raise the 400 that names each wrong field."""
    return validate(serializer(), request.data)


def check_parameters(query: QueryDict, known: Container[str]) -> None:
    """Raise the ValidationError that names each query parameter that is unknown or given more than once."""
    errors: dict[str, serializers.ErrorDetail] = {}
    for name, values in query.lists():
        if name not in known:
            errors[shortened(name)] = serializers.ErrorDetail("There is no such parameter here.", "unknown")
        elif len(values) > 1:
            errors[shortened(name)] = serializers.ErrorDetail("This parameter is given more than once.", "repeated")
    if errors:
        raise serializers.ValidationError({name: [error] for name, error in errors.items()})


def parse_query(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated query string of a request, or raise the 400 that names each wrong parameter."""
    return validate(serializer(), request.query_params.dict())


def validate(bound: serializers.Serializer[Any], data: Any) -> dict[str, Any]:
    """Return validated data. The serializer keeps no reference to what was sent, as it would if it were given ``data``.

    A serializer and its fields refer to each other: a body of a mebibyte, which is tens of them once parsed, would stay
    in memory until the garbage collector searches for cycles.
    """
    bound.initial_data = data
    try:
        bound.is_valid(raise_exception=True)
        return dict(bound.validated_data)
    finally:
        del bound.initial_data
