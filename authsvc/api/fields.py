"""Strict fields and serializers, and how a view reads a body or a query string with them."""

import re
from collections.abc import Container, Mapping, Set
from heapq import nsmallest
from typing import Any

from django.core.validators import RegexValidator
from django.http import QueryDict
from rest_framework import exceptions, serializers
from rest_framework.fields import empty
from rest_framework.request import Request

from authsvc.error_lists import NAMED_ERRORS, more_errors, shortened

NOT_AN_OBJECT = "Expected a JSON object."


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

    default_error_messages = {"invalid": NOT_AN_OBJECT}

    def run_validation(self, data: Any = empty) -> Any:
        if data is None:  # DRF would say that nothing was sent
            raise serializers.ValidationError({"non_field_errors": [exceptions.ErrorDetail(NOT_AN_OBJECT, "null")]})
        return super().run_validation(data)

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
