"""Forward auth: whether a request that a gateway holds may pass, verified as the API's own views verify it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated

from accounts.authentication import bearer
from accounts.jwt.tokens import AccessToken
from accounts.models import User
from accounts.verification import verify_access_token
from apikeys.authentication import CHALLENGE as KEY_CHALLENGE
from apikeys.authentication import authenticate_key
from apikeys.models import APIKey
from authsvc.database.errors import DATABASE_ERRORS
from authsvc.problems import (
    BEARER_CHALLENGE,
    NOT_GRANTED,
    RateLimited,
    challenge,
    field_errors,
    first_errors,
    permission_refused,
    problem,
    sentence,
    unavailable,
)

PATH = "/auth/verify"
# Another path, so that an extra slash does not let the client choose the requirements.
PREFIX = "/auth/verify-prefix/"
CHALLENGES = (BEARER_CHALLENGE, KEY_CHALLENGE)
REQUIREMENTS = {"scope", "role", "audience"}
Who = tuple[User, AccessToken | APIKey, dict[str, str]]


class ForwardAuthMiddleware:
    """Answers /auth/verify, and /auth/verify-prefix/… for Envoy, before the middleware for browsers.

    Gateways call it over plain HTTP with the Host, method and CORS headers of their clients. A redirect to https, a 400
    for the Host or a response to a preflight would be a wrong verdict.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if path == PATH:
            return closed(request, verify(request, request.META.get("QUERY_STRING", "")))
        if path.startswith(PREFIX):
            # Envoy appends the path and query of its client, which are not trusted.
            return closed(request, verify(request, ""))
        return self.get_response(request)


def verify(request: HttpRequest, query: str) -> HttpResponse:
    """Respond with a status and headers; the body of the request is not read."""
    request.route = PATH  # type: ignore[attr-defined]  # for logs and metrics
    try:
        wanted = requirements(query)
        user, credential, headers = identify(request.META, wanted.get("audience", [""])[0])
        request.user, request.auth = user, credential  # type: ignore[attr-defined]  # as DRF sets them
        if not (user.scopes.issuperset(wanted.get("scope", ())) and {*user.roles}.issuperset(wanted.get("role", ()))):
            permission_refused.send(sender=None, credential=credential)
            return problem(403, NOT_GRANTED)
    except (ValidationError, ValueError, APIException, *DATABASE_ERRORS) as error:
        return refusal(error)
    return HttpResponse(headers={**identity(user, credential), **headers})


def requirements(query: str) -> dict[str, list[str]]:
    """Return what a query requires. Raises ValidationError for an unknown name: a typo must not grant access."""
    if not query:
        return {}
    wanted = parse_qs(query, keep_blank_values=True, max_num_fields=100)
    if unknown := sorted(wanted.keys() - REQUIREMENTS):
        error = ValidationError("Only scope, role and audience can be asked for.", code="unknown")
        raise ValidationError(dict.fromkeys(unknown, error))
    if len(wanted.get("audience", ())) > 1:
        raise ValidationError({"audience": ValidationError("Only one audience can be asked for.", code="repeated")})
    return wanted


def identify(meta: dict[str, Any], audience: str) -> Who:
    """Return the user, the credential and the headers of its rate limit; with both credentials, the token counts.

    Raises NotAuthenticated without a credential, and what verification raises.
    """
    encoded = bearer(meta.get("HTTP_AUTHORIZATION", ""))
    if encoded is not None:
        user, token = verify_access_token(encoded, now=timezone.now(), audience=audience)
        return user, token, dict(token.headers)
    text = meta.get("HTTP_X_API_KEY")
    if text is None:
        raise NotAuthenticated
    key, headers = authenticate_key(text)
    return key.owner, key, headers


def identity(user: User, credential: AccessToken | APIKey) -> dict[str, str]:
    """Return the identity headers.

    All are always present, so that a gateway overwrites each one that its client sent. They are ASCII without control
    characters; other characters are percent-encoded in UTF-8 (RFC 3986, section 2.1).
    """
    key_id = credential.pk if isinstance(credential, APIKey) else credential.get("client_id", "")
    return {
        "X-Auth-Subject": str(user.pk),
        "X-Auth-Username": quote(user.username, safe="+"),
        "X-Auth-Method": "api_key" if isinstance(credential, APIKey) else "jwt",
        "X-Auth-Key-Id": str(key_id),
        "X-Auth-Roles": " ".join(quote(role, safe=":") for role in user.roles),
        "X-Auth-Scopes": " ".join(sorted(user.scopes)),
    }


def refusal(error: Exception) -> HttpResponse:
    if isinstance(error, NotAuthenticated | AuthenticationFailed):
        return challenge(error, list(CHALLENGES))
    if isinstance(error, RateLimited):
        return problem(error.status_code, sentence(error), headers=error.headers)
    if isinstance(error, ValidationError):
        return problem(400, error.messages[0], errors=first_errors(field_errors(error)))
    if isinstance(error, ValueError):
        return problem(400, "The query string cannot be read.")
    return unavailable(error)


def closed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return the response with ``no-store``, without a Content-Type where it is empty, and without a body to HEAD."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Length"] = str(len(response.content))
    if not response.content:
        del response.headers["Content-Type"]
    if request.method == "HEAD":
        response.content = b""  # its length stays (RFC 9110, section 9.3.2)
    return response
