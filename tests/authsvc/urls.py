"""The project's routes, and beside them views that fail in every way that a view can."""

from typing import Any, NoReturn

from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path
from rest_framework import exceptions
from rest_framework.decorators import api_view
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import JWTAuthentication
from apikeys.authentication import APIKeyAuthentication
from authsvc.problems import InvalidCredential
from authsvc.urls import handler400, handler403, handler404, handler500
from authsvc.urls import urlpatterns as routes

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

SECRET = "sk_this-must-not-be-seen"
FAILURES: dict[str, Exception] = {
    "operational": OperationalError(f"connection to server at 10.0.0.7 failed for {SECRET}"),
    "interface": InterfaceError("the connection is closed"),
    "programming": RuntimeError(SECRET),
    "validation": ValidationError("Two things clash."),
    "coded": ValidationError("Two things clash.", code="clash"),
    "by field": ValidationError({"a": ["One.", "Two."], "b": ValidationError("Three.", code="third")}),
    "nested": exceptions.ValidationError(
        {"a": {"b": ["Deep."]}, "c": [{"d": ["In a list."]}], "non_field_errors": ["All."]}
    ),
    "plain": exceptions.ValidationError("Plain.", code="plain"),
    "denied by django": PermissionDenied(SECRET),
    "denied": exceptions.PermissionDenied(),
    "denied with a reason": exceptions.PermissionDenied("Only on Sundays"),
    "absent": Http404(SECRET),
    "not found": exceptions.NotFound(SECRET),
    "not acceptable": exceptions.NotAcceptable("Nobody reads that"),
    "credential in the body": InvalidCredential(SECRET),
    "bearer": InvalidCredential(SECRET, scheme="Bearer"),
    "key": InvalidCredential(SECRET, scheme="ApiKey"),
    "nothing sent": exceptions.NotAuthenticated(SECRET),
    "bad request": BadRequest(SECRET),
}


def fail(failure: str) -> NoReturn:
    """Fail in a way; with a new exception, for a raised one keeps its traceback."""
    known = FAILURES[failure]
    raise known.with_traceback(None)


def plain(request: HttpRequest, failure: str) -> NoReturn:
    """A view of Django's own kind."""
    fail(failure)


def reads(request: HttpRequest) -> HttpResponse:
    """A view of Django's own kind that reads the whole body."""
    return HttpResponse(str(len(request.body)))


class Undeclared(APIView):
    """A view that forgot to say who may call it."""

    def get(self, request: Request, failure: str = "programming") -> NoReturn:
        fail(failure)


class HalfDeclared(Undeclared):
    """A view that says how, and not who."""

    authentication_classes = ()


class Open(HalfDeclared):
    """A view for everybody."""

    permission_classes = (AllowAny,)


class Both(Open):
    """A view that accepts a token and a key, and says so by inheritance in part."""

    authentication_classes = (JWTAuthentication, APIKeyAuthentication)


class Sundays(BasePermission):
    """Nobody."""

    message = "Only on Sundays"

    def has_permission(self, request: Request, view: APIView) -> bool:
        return False


class Closed(Open):
    """A view for nobody."""

    permission_classes = (Sundays,)


nested: list[Any] = [path("half-declared", HalfDeclared.as_view())]
urlpatterns = [
    path("plain/reads", reads),
    path("plain/<failure>", plain),
    path("open/<failure>", Open.as_view()),
    path("both/<failure>", Both.as_view()),
    path("closed/<failure>", Closed.as_view()),
    path("undeclared", Undeclared.as_view()),
    path("undeclared-function", api_view(["GET"])(reads)),
    path("nested/", include(nested)),
    *routes,
]
