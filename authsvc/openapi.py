"""What the OpenAPI document says of every route: security schemes, problem bodies, and the error answers they share."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers


class FieldError(serializers.Serializer[Any]):
    """One fault of one field."""

    field = serializers.CharField(help_text="The field's name; dotted for nested ones, `body` for the whole.")
    code = serializers.CharField(help_text="What is wrong, for programs: `required`, `unique`, `invalid`, …")
    message = serializers.CharField(help_text="What is wrong, for people.")


class Problem(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(help_text="`about:blank`: the status says what kind of problem it is.")
    title = serializers.CharField(help_text="The status's name.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="One sentence on what is wrong.")
    errors = serializers.ListField(  # type: ignore[assignment]  # Serializer.errors is a property of bound ones
        child=FieldError(), required=False, help_text="With 400: each wrong field."
    )


class JWTScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """The bearer token in the document."""

    target_class = "accounts.authentication.JWTAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access_token` from `POST /auth/login`.",
        }


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # as above
    """The API key in the document."""

    target_class = "apikeys.authentication.APIKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "The `key` from `POST /keys/create`; it is shown there once.",
        }


class ClientScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # as above
    """The API key as OAuth's client secret in the document."""

    target_class = "gateway.authentication.ClientAuthentication"
    name = "client"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "basic",
            "description": "An API key's id as the name, the key as the password; or both in the form.",
        }


DESCRIPTIONS = {
    400: "Something in the request is not valid; `errors` names each field.",
    401: "No usable credential. `WWW-Authenticate` names what this route accepts; the body never says what was wrong.",
    403: "The credential is good, but it does not grant this.",
    404: "Absent, or not yours: the two read the same.",
    413: "The body is larger than 1 MiB.",
    409: "The resource is in a state that does not allow this.",
    415: "The body is not `application/json`.",
    429: "Too many requests; `Retry-After` says in how many seconds to come again.",
    503: "The database is away; try again after `Retry-After` seconds.",
}


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the error answers of a route, for ``extend_schema(responses=…)``; 503 is every route's."""
    return {
        (status, "application/problem+json"): OpenApiResponse(Problem, DESCRIPTIONS[status])
        for status in (*statuses, 503)
    }


BODY = (400, 413, 415)  # what any route with a body may answer


def example(value: Any, *, request: bool = False) -> OpenApiExample:
    """Return the one example of a request or of a good answer."""
    good = ["200", "201", "202"]  # drf-spectacular by itself leaves out the last
    return OpenApiExample("example", value=value, request_only=request, response_only=not request, status_codes=good)


def finish(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Postprocessing hook: say that every answer carries X-Request-ID."""
    for operations in result["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                headers = answer.setdefault("headers", {})
                headers["X-Request-ID"] = {"schema": {"type": "string"}, "description": "The request's id."}
    return result
