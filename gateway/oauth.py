"""How OAuth clients read an error: RFC 6749, section 5.2, beside the problem document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from authsvc.api.views import ApiView
from authsvc.problems import BAD_CREDENTIAL
from authsvc.request.authorization import credentials
from gateway.authentication import is_form

# Codes of field errors that are OAuth's own; every other one is an invalid_request.
FIELD_CODES = {"unsupported_grant_type", "invalid_scope"}
STATUS_CODES = {
    401: "invalid_client",
    403: "insufficient_scope",  # RFC 6750, section 3.1, as RFC 7662 has it
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
}
NOT_ALLOWED = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")  # in error_description


class OAuthView(ApiView):
    """A view whose errors of form requests also carry ``error`` and ``error_description``."""

    # Whether a key in ``subject_token`` is a credential here.
    subject_token_authenticates = False

    def handle_exception(self, exc: Exception) -> Any:
        response: Any = super().handle_exception(exc)
        if not is_form(self.request):
            return response
        problem = orjson.loads(response.content)
        code = error_code(problem, exc, self.request)
        faults = [f"{fault['field']}: {fault['message']}" for fault in problem.get("errors", [])]
        description = NOT_ALLOWED.sub("'", faults[0] if faults else problem["detail"])
        response.content = orjson.dumps({**problem, "error": code, "error_description": description})
        return response


def form_of(request: Request) -> Mapping[str, Any]:
    """Return the form of a request; an empty one where it cannot be read."""
    try:
        return request.data
    except (APIException, RequestDataTooBig):
        return {}


def error_code(problem: dict[str, Any], exc: Exception, request: Request) -> str:
    """Return the ``error`` of a problem."""
    if isinstance(exc, AuthenticationFailed) and problem["detail"] == BAD_CREDENTIAL:
        if credentials(request.META.get("HTTP_AUTHORIZATION", ""), "bearer") is not None:
            return "invalid_token"  # RFC 6750, section 3.1
        form = form_of(request)
        if "subject_token" in form and not {"client_secret", "client_id"} & form.keys():
            return "invalid_request"  # RFC 8693, section 2.2.2
    own = [fault["code"] for fault in problem.get("errors", []) if fault["code"] in FIELD_CODES]
    return STATUS_CODES.get(problem["status"], own[0] if own else "invalid_request")
