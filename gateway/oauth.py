"""Adds the error format of OAuth (RFC 6749, section 5.2) to problem documents."""

from __future__ import annotations

import re
from typing import Any

import orjson
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from authsvc.api.views import ApiView
from authsvc.problems import BAD_CREDENTIAL
from authsvc.request.authorization import credentials
from gateway.authentication import check_client, client_credentials, is_form, subject_token

# Codes of field errors that OAuth defines; every other one is an invalid_request.
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

    # Whether a key as the ``subject_token`` of a token exchange is a credential here.
    subject_token_authenticates = False

    def perform_authentication(self, request: Request) -> None:
        check_client(request)
        super().perform_authentication(request)

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


def error_code(problem: dict[str, Any], exc: Exception, request: Request) -> str:
    if isinstance(exc, AuthenticationFailed) and problem["detail"] == BAD_CREDENTIAL:
        if credentials(request.META.get("HTTP_AUTHORIZATION", ""), "bearer") is not None:
            return "invalid_token"  # RFC 6750, section 3.1
        if subject_token(request) is not None and not client_credentials(request):
            return "invalid_request"  # RFC 8693, section 2.2.2
    own = [fault["code"] for fault in problem.get("errors", []) if fault["code"] in FIELD_CODES]
    return STATUS_CODES.get(problem["status"], own[0] if own else "invalid_request")
