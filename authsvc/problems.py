"""Errors as RFC 9457 problem details: one shape for everything that the API refuses."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from itertools import islice
from typing import Any

import orjson
from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.dispatch import Signal
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.views import APIView

from authsvc.database.errors import DATABASE_ERRORS, describe
from authsvc.error_lists import MORE_ERRORS, NAMED_ERRORS, more_errors, shortened
from authsvc.ratelimit import Verdict
from authsvc.request.paths import ADMIN

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
INVALID_FIELDS = "The request has fields that are not valid."
NOT_FOUND = "The resource does not exist, or it is not yours."
NO_CREDENTIAL = "This resource needs a credential, and none was sent that it accepts."
BAD_CREDENTIAL = "The credential is not valid."
NOT_GRANTED = "The credential is good, but it does not grant this."
TOO_LARGE = "The request body is too large."
DATABASE_AWAY = "The database cannot be reached; try again shortly."
BEARER_CHALLENGE = 'Bearer realm="authsvc"'
UNSUPPORTED = "The media type of the request body is not supported."
OTHER_HOST = "The service does not answer under this Host."
RENAMED = {413: "Content Too Large", 414: "URI Too Long"}

HOST = re.compile(
    r"([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*\.?|\[[0-9a-f]{0,4}:[0-9a-f.:]{1,40}\])(?::[0-9]{1,5})?",
    re.ASCII | re.IGNORECASE,
)
MOST_HOSTS, HOST_LENGTH = 256, 260  # that a process remembers as refused; the longest name of DNS, and a port
refused_hosts: set[str] = set()


class InvalidCredential(exceptions.AuthenticationFailed):
    """401 for a credential that was sent and is bad, whatever is wrong with it.

    ``reason`` is for the operator and never leaves the process by the response; ``scheme`` is the authentication
    scheme that carried the credential, "" when it came in the body.
    """

    def __init__(self, reason: str, *, scheme: str = "") -> None:
        super().__init__(BAD_CREDENTIAL)
        self.reason, self.scheme = reason, scheme


class ProblemException(exceptions.APIException):
    """A problem whose ``errors`` has one item, so that a program can tell the cause by its code."""

    field = "body"

    @property
    def errors(self) -> list[dict[str, str]]:
        return [{"field": self.field, "code": self.default_code, "message": sentence(self)}]


class RateLimited(exceptions.APIException):
    """429: so many requests and no more; when to come again is in ``Retry-After`` (RFC 6585, section 4)."""

    status_code = 429
    default_detail = "The rate limit is used up; try again after the seconds in Retry-After."

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict

    @property
    def headers(self) -> dict[str, str]:
        """What the client is told."""
        return {**self.verdict.headers, "Retry-After": str(self.verdict.retry_after)}


# Sent when a credential that was let in is refused for what its request asks; with ``credential``.
permission_refused = Signal()


def problem(
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """Return the problem document for a status; the title is the status's own (type about:blank, RFC 9457, 4.2.1)."""
    body: dict[str, Any] = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
    if errors is not None:
        body["errors"] = errors
    return HttpResponse(orjson.dumps(body), status=status, content_type=MEDIA_TYPE, headers=headers)


def title(status: int) -> str:
    """Return the status's name as RFC 9110 has it; Python up to 3.12 knows some by their older names."""
    return RENAMED.get(status) or HTTPStatus(status).phrase


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER: the problem for what a view raised, or None to let it rise as our own failure."""
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return unauthorized(error, context["view"], context["request"])
    if isinstance(error, exceptions.ValidationError | DjangoValidationError):
        return invalid_fields(error)
    if isinstance(error, Http404 | exceptions.NotFound):
        return problem(404, NOT_FOUND)
    if isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        permission_refused.send(sender=None, credential=context["request"].auth)
        return problem(403, refusal(error))
    if isinstance(error, RequestDataTooBig):
        return problem(413, TOO_LARGE)
    if isinstance(error, DATABASE_ERRORS):
        return unavailable(error)
    if isinstance(error, exceptions.UnsupportedMediaType):
        return problem(415, UNSUPPORTED, headers=error_headers(error, context["view"]))
    if isinstance(error, exceptions.APIException):
        headers = error_headers(error, context["view"])
        return problem(error.status_code, sentence(error), errors=getattr(error, "errors", None), headers=headers)
    return None


def invalid_fields(error: exceptions.ValidationError | DjangoValidationError) -> HttpResponse:
    """Return the 400 that names each field, or query parameter, that is not valid."""
    return problem(400, INVALID_FIELDS, errors=first_errors(field_errors(error)))


def unauthorized(error: exceptions.APIException, view: APIView, request: Request) -> HttpResponse:
    """Return the 401 of a view, whose challenges name every scheme that it accepts."""
    schemes = [authenticator.authenticate_header(request) or "" for authenticator in view.get_authenticators()]
    return challenge(error, schemes or [BEARER_CHALLENGE])


def challenge(error: exceptions.APIException, schemes: list[str]) -> HttpResponse:
    """Return a 401 with a challenge for each scheme (RFC 9110, section 11.6.1).

    A bad bearer adds ``error="invalid_token"`` to its own challenge (RFC 6750, section 3.1).
    """
    if isinstance(error, InvalidCredential) and error.scheme == "Bearer":
        schemes = [f'{s}, error="invalid_token"' if s.startswith("Bearer") else s for s in schemes]
    detail = NO_CREDENTIAL if isinstance(error, exceptions.NotAuthenticated) else BAD_CREDENTIAL
    return problem(401, detail, headers={"WWW-Authenticate": ", ".join(schemes)})


def unavailable(error: BaseException) -> HttpResponse:
    """Return the 503 of a database that is away, and tell the operator."""
    logger.error("database away: %s", describe(error))
    return problem(503, DATABASE_AWAY, headers={"Retry-After": "5"})


def refusal(error: PermissionDenied | exceptions.PermissionDenied) -> str:
    """Return a permission's own message, if it has one."""
    if isinstance(error, exceptions.PermissionDenied) and error.detail != error.default_detail:
        return sentence(error)
    return NOT_GRANTED


def sentence(error: exceptions.APIException) -> str:
    """Return an exception's detail as one sentence."""
    return f"{str(error.detail).rstrip('.')}."


def error_headers(error: exceptions.APIException, view: APIView) -> dict[str, str]:
    """Return the headers that a status owes its reader (RFC 9110, sections 15.5.6 and 15.5.16)."""
    if isinstance(error, exceptions.MethodNotAllowed):
        return {"Allow": ", ".join(view.allowed_methods)}
    if hasattr(error, "headers"):
        return dict(error.headers)
    if error.status_code == 503:
        return {"Retry-After": "5"}
    if isinstance(error, exceptions.UnsupportedMediaType):
        return {"Accept": ", ".join(parser.media_type for parser in view.parser_classes if parser.media_type)}
    return {}


def first_errors(errors: Iterator[dict[str, str]]) -> list[dict[str, str]]:
    """Return at most NAMED_ERRORS errors, and one more that counts the others."""
    named, rest = list(islice(errors, NAMED_ERRORS)), list(errors)
    if len(rest) > 1 or (rest and rest[0]["code"] != MORE_ERRORS):
        rest = list(flatten(more_errors(len(rest)), "body"))
    return named + rest


def field_errors(error: exceptions.ValidationError | DjangoValidationError) -> Iterator[dict[str, str]]:
    """Yield ``{"field", "code", "message"}`` for each single fault; a fault of the whole body has the field "body"."""
    if isinstance(error, DjangoValidationError):
        found = error.error_dict if hasattr(error, "error_dict") else {"body": error.error_list}
        for field, faults in found.items():
            for fault in faults:
                yield {"field": field, "code": fault.code or "invalid", "message": " ".join(fault.messages)}
    else:
        yield from flatten(error.detail, "")


def flatten(detail: Any, path: str) -> Iterator[dict[str, str]]:
    """Yield the leaves of DRF's nested error detail, with dotted paths as field names."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            here = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
            yield from flatten(inner, here)
    elif isinstance(detail, list):
        for inner in detail:
            yield from flatten(inner, path)
    else:
        yield {"field": shortened(utf8(path)) or "body", "code": detail.code, "message": utf8(str(detail))}


def utf8(text: str) -> str:
    """Return a text that can be sent: JSON can name half of a surrogate pair, and a message may repeat it."""
    return text.encode("utf-8", "backslashreplace").decode()


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a request that Django itself refuses, such as one with a wrong Host."""
    if isinstance(exception, RequestDataTooBig):
        return problem(413, TOO_LARGE)
    if isinstance(exception, DisallowedHost):
        note_refused_host(request.META.get("HTTP_HOST", ""))
        return problem(400, OTHER_HOST)
    return problem(400, "The request is not valid.")


def note_refused_host(host: str) -> None:
    """Log the name of a host that is not allowed once in each process, unless it is not a name at all."""
    found = HOST.fullmatch(host) if len(host) <= HOST_LENGTH else None
    name = found[1].lower().rstrip(".") if found else None
    if name and name not in refused_hosts and len(refused_hosts) < MOST_HOSTS:
        refused_hosts.add(name)
        logger.warning("requests for %s are refused: it is not one of ALLOWED_HOSTS", name)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if request.path_info.startswith(ADMIN):
        return defaults.permission_denied(request, exception)
    return problem(403, NOT_GRANTED)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: unknown paths read like unknown resources."""
    if request.path_info.startswith(ADMIN):
        return defaults.page_not_found(request, exception)
    return problem(404, NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, called while the exception is being handled: 503 where it is the database that is away."""
    error = sys.exc_info()[1]
    if isinstance(error, DATABASE_ERRORS):
        return unavailable(error)
    if isinstance(error, exceptions.APIException) and error.status_code == 503:
        return problem(503, sentence(error), headers={"Retry-After": "5"})
    return problem(500, "The service failed; the operator's log has the request's id.")


def reading_only(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Decorate a plain view that answers GET and HEAD; Django's require_safe answers the others with HTML."""

    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        detail = f'Method "{shortened(request.method or "")}" not allowed.'
        return problem(405, detail, headers={"Allow": "GET, HEAD"})

    return answer
