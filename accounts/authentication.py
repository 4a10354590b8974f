"""Authenticates the Authorization header, with one query."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.jwt.tokens import AccessToken
from accounts.models import Session, User
from accounts.verification import verify_access_token
from authsvc.problems import BEARER_CHALLENGE
from authsvc.request.authorization import credentials

SCHEME = "bearer"


class JWTAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>`` (RFC 6750, section 2.1); the scheme in any case (RFC 9110, 11.1).

    Returns None when the header is absent or of another scheme. Raises what ``verify_access_token`` raises.
    """

    def authenticate(self, request: Request) -> tuple[User, AccessToken] | None:
        encoded = bearer(request.META.get("HTTP_AUTHORIZATION", ""))
        if encoded is None:
            return None
        user, token = verify_access_token(encoded, now=timezone.now())
        if token.headers:
            (request.parser_context or {})["view"].headers.update(token.headers)
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return BEARER_CHALLENGE


def user_of(request: Request | HttpRequest) -> User:
    """Return ``request.user``, typed, in a view or page that a permission protects."""
    return cast("User", request.user)


def session_of(request: Request) -> Session:
    """Return the session of a request in a view that IsPerson protects."""
    return cast("Session", cast("AccessToken", request.auth).session)


def bearer(header: str) -> str | None:
    """Return the credentials of a Bearer header, well-formed or not, or None for another scheme."""
    return credentials(header, SCHEME)
