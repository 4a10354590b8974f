"""What the API's views share: JSON in, JSON out, strictly."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qs

import orjson
from django.conf import settings
from rest_framework import exceptions, negotiation, parsers, renderers, serializers, status
from rest_framework.request import Request


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


def refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are JavaScript, not JSON (RFC 8259, section 6)."""
    raise ValueError(name)


class JSONParser(parsers.BaseParser):
    """``application/json`` in UTF-8 (RFC 8259, section 8.1), at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes.

    Raises PayloadTooLarge or ParseError; a bottomless nesting is a ParseError, not a crash.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise PayloadTooLarge
        try:
            return json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise exceptions.ParseError("The request body is not valid JSON.") from error


class FormParser(parsers.BaseParser):
    """``application/x-www-form-urlencoded``, as OAuth's requests are written; a repeated parameter is a mistake
    (RFC 6749, section 3.2)."""

    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise PayloadTooLarge
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
    """There is one representation, so no Accept header can ask for another; a body is of a type, not of a range."""

    def select_parser(self, request: Request, parsers: Iterable[parsers.BaseParser]) -> parsers.BaseParser | None:
        if "*" in request.content_type.partition(";")[0]:
            return None
        return negotiation.DefaultContentNegotiation().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Iterable[renderers.BaseRenderer], format_suffix: str | None = None
    ) -> tuple[renderers.BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class StrictCharField(serializers.CharField):
    """A JSON string; a number is a mistake, not a text."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


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
            unknown = sorted(str(name)[:100] for name in data.keys() - self.fields.keys())
            if unknown:
                message = "There is no such field here."
                raise serializers.ValidationError({name: [message] for name in unknown}, code="unknown")
        return super().to_internal_value(data)


def parse(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated body of a request, or raise the 400 that names each wrong field."""
    bound = serializer(data=request.data)
    bound.is_valid(raise_exception=True)
    return dict(bound.validated_data)


def parse_query(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated query string of a request, or raise the 400 that names each wrong parameter."""
    bound = serializer(data=request.query_params.dict())
    bound.is_valid(raise_exception=True)
    return dict(bound.validated_data)
