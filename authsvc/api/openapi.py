"""The parts of the OpenAPI document that routes share: security schemes, problem details, error answers."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from authsvc.problems import (
    BAD_CREDENTIAL,
    DATABASE_AWAY,
    INVALID_FIELDS,
    NOT_FOUND,
    NOT_GRANTED,
    TOO_LARGE,
    UNSUPPORTED,
    RateLimited,
    title,
)


class FieldError(serializers.Serializer[Any]):
    """One error of one field or query parameter."""

    field = serializers.CharField(help_text="The field's name; dotted for nested ones, `body` for the whole body.")
    code = serializers.CharField(help_text="What is wrong, for programs: `required`, `unique`, `invalid`, …")
    message = serializers.CharField(help_text="What is wrong, for people.")


class Problem(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(help_text="`about:blank`: the status says what kind of problem it is.")
    title = serializers.CharField(help_text="The status's name.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="One sentence on what is wrong.")
    errors = serializers.ListField(  # type: ignore[assignment]  # Serializer.errors is a property of bound ones
        child=FieldError(), required=False, help_text="Each field that is not valid, or the cause of a 403."
    )


class OAuthProblem(Problem):
    """Problem details with the members of an OAuth error, where the request was a form."""

    error = serializers.CharField(
        required=False, help_text="RFC 6749, section 5.2: `invalid_client`, `invalid_scope`, `invalid_request`, …"
    )
    error_description = serializers.CharField(required=False, help_text="One sentence on what is wrong.")


class OAuthForm(serializers.Serializer[Any]):
    """A form whose other parameters are ignored, but may not be given twice (RFC 6749, section 3.2)."""


class FormSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """Forms in the document."""

    target_class = OAuthForm
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": {"type": "string"}}


class StrictSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """Serializers that reject unknown fields are closed in the document."""

    target_class = "authsvc.api.fields.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        for name, field in self.target.fields.items():
            is_list, found = isinstance(field, serializers.ListField), schema["properties"][name]
            text = field.child if is_list else field
            if isinstance(text, serializers.CharField) and not text.allow_blank:
                (found["items"] if is_list else found).setdefault("minLength", 1)
        return {**schema, "additionalProperties": False}


class JWTScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """The bearer token."""

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
    """The API key."""

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
    """The API key as an OAuth client secret."""

    target_class = "gateway.authentication.ClientAuthentication"
    name = "client"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "basic",
            "description": "An API key's id as the name, the key as the password; or both in the form.",
        }


MEDIA_TYPE = "application/problem+json"
FORM = "application/x-www-form-urlencoded"
DESCRIPTIONS = {
    400: "Something in the request is not valid; `errors` names each field or query parameter.",
    401: "No usable credential. `WWW-Authenticate` names what this route accepts; the body never says what was wrong.",
    403: "The credential is good, but it does not grant this.",
    404: "The resource does not exist, or it is not yours: both read the same.",
    408: "The request did not arrive in time.",
    409: "The resource is in a state that does not allow this.",
    413: "The body is larger than 1 MiB.",
    414: "The request line is too long.",
    415: "The body has a media type, an encoding or a charset that this route does not accept.",
    429: "Too many requests; `Retry-After` says after how many seconds to try again.",
    431: "A header field, or all of them together, is too large.",
    503: "The database is away, or the service is busy; try again after `Retry-After` seconds.",
}
DETAILS = {
    400: INVALID_FIELDS,
    401: BAD_CREDENTIAL,
    403: NOT_GRANTED,
    404: NOT_FOUND,
    408: "The request did not arrive in time.",
    409: "The key is revoked and cannot be changed.",
    413: TOO_LARGE,
    414: "The request line is too long.",
    415: UNSUPPORTED,
    429: RateLimited.default_detail,
    431: "The request has header fields that are too large.",
    503: DATABASE_AWAY,
}
BY_SERVER = (400, 408, 414, 431, 503)  # what every route can answer
SECURED = (401, 429)  # what every route with a credential can answer; an exchanged token counts for its key's limit
BODY = (400, 413, 415)  # what every route with a body can answer
UNKNOWN_PARAMETER = {"field": "page", "code": "unknown", "message": "There is no such parameter here."}
UNKNOWN_FIELD = {"field": "nmae", "code": "unknown", "message": "There is no such field here."}
SECONDS = {"schema": {"type": "integer"}, "description": "Seconds to wait before the next try."}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "The schemes that this route accepts."}},
    429: {"Retry-After": SECONDS},
    503: {"Retry-After": SECONDS},
}


def problem_of(status: int, *errors: dict[str, str], detail: str = "", **more: str) -> dict[str, Any]:
    """Return a problem document as the service answers it."""
    body = {"type": "about:blank", "title": title(status), "status": status, "detail": detail or DETAILS[status]}
    return {**body, **({"errors": list(errors)} if errors else {}), **more}


def problems(
    *statuses: int, serializer: type[serializers.Serializer[Any]] = Problem
) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the error answers of a route, for ``extend_schema(responses=…)``; ``finish`` adds what is common."""
    return {(status, MEDIA_TYPE): OpenApiResponse(serializer, DESCRIPTIONS[status]) for status in statuses}


def example(value: Any, *, request: bool = False) -> OpenApiExample:
    """Return the one example of a request or of a good answer."""
    good = ["200", "201", "202"]  # drf-spectacular by itself leaves out the last
    return OpenApiExample("example", value=value, request_only=request, response_only=not request, status_codes=good)


def problem_example(status: int, *errors: dict[str, str], detail: str = "", **more: str) -> OpenApiExample:
    """Return the example of one error answer of a route, where the common one says less."""
    value = problem_of(status, *errors, detail=detail, **more)
    return OpenApiExample(f"example{status}", value=value, response_only=True, status_codes=[str(status)])


def finish(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Postprocessing hook: add the answers, headers and examples that routes have in common."""
    schemas = result["components"]["schemas"]
    for operations in result["paths"].values():
        for operation in operations.values():
            add_errors(operation)
            if body := operation.get("requestBody"):
                body["required"] = all(is_required(found["schema"], schemas) for found in body["content"].values())
            for answer in operation["responses"].values():
                headers = answer.setdefault("headers", {})
                headers["X-Request-ID"] = {"schema": {"type": "string"}, "description": "The request's id."}
    return result


def is_required(schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Return whether an empty body does not fit a schema."""
    component = schemas[schema["$ref"].rpartition("/")[2]]
    choices = component.get("oneOf", [])
    return "required" in component or (bool(choices) and all(is_required(choice, schemas) for choice in choices))


def add_errors(operation: dict[str, Any]) -> None:
    """Add the error answers that an operation has without saying so, and what each of them carries."""
    responses, body = operation["responses"], operation.get("requestBody", {})
    secured = SECURED if any(operation.get("security", [])) else ()
    for status in (*BY_SERVER, *secured, *(BODY if body else ())):
        responses.setdefault(str(status), {"description": DESCRIPTIONS[status]})
    schema = {"$ref": f"#/components/schemas/{'OAuthProblem' if FORM in body.get('content', {}) else 'Problem'}"}
    for status in sorted(int(status) for status in responses if status >= "400"):
        answer = responses[str(status)] = responses.pop(str(status))
        content = answer.setdefault("content", {}).setdefault(MEDIA_TYPE, {})
        content["schema"] = schema
        errors = (UNKNOWN_FIELD if body else UNKNOWN_PARAMETER,) if status == 400 else ()
        content.setdefault("examples", {"Example": {"value": problem_of(status, *errors)}})
        answer["headers"] = {**answer.get("headers", {}), **HEADERS.get(status, {})}
