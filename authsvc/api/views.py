"""The base of the API's views, and what they answer: DRF's, without what there is one of or none.

DRF makes its parsers, authenticators and permissions anew for each request, and asks in which version, format and
language the answer is to be. Here there is one answer to all that, so a view says what it accepts and asks for as any
view of DRF's does, and what follows from it is made once (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, NoReturn

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from authsvc.api.fields import check_parameters
from authsvc.api.parsers import JSONNegotiation
from authsvc.api.renderers import JSONRenderer
from authsvc.problems import invalid_fields

MADE_ONCE = ("parser_classes", "authentication_classes", "permission_classes")
NOT_HEEDED = ("renderer_classes", "throttle_classes", "versioning_class", "content_negotiation_class")


class Response(HttpResponse):
    """``application/json``, or nothing at all; datetimes in UTC end in ``Z``.

    DRF's own response is a template's, filled in later by whichever renderer was agreed on.
    """

    def __init__(self, data: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        content = b"" if data is None else orjson.dumps(data, option=orjson.OPT_UTC_Z)
        super().__init__(content, JSONRenderer.media_type, status, headers=headers)
        if not content:
            del self.headers["Content-Type"]


class ApiRequest(Request):
    """DRF's request, which asks itself for attributes that it has not, and only then the HttpRequest.

    What each request is asked for is at hand; private attributes are never the HttpRequest's.
    """

    def __init__(self, request: HttpRequest, **made: Any) -> None:
        super().__init__(request, **made)
        self.META, self.method = request.META, request.method

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return super().__getattr__(name)

    def authenticate(self) -> None:
        """Note who comes by what. Raises what the authenticators raise."""
        self._authenticate()


class ApiView(APIView):
    """A view without OPTIONS, which is CORS's and answered before."""

    http_method_names = ("get", "head", "post", "put", "patch", "delete")

    parsers: list[BaseParser]
    authenticators: list[BaseAuthentication]
    permissions: list[Any]  # the stubs' own protocol, which has no name at run time
    negotiator = JSONNegotiation()
    # The serializer of the query string by method; without one a method takes no parameters.
    query_serializers: Mapping[str, type[Serializer[Any]]] = MappingProxyType({})

    def __init_subclass__(cls, **options: Any) -> None:
        """Raise TypeError for a declaration that nobody would heed."""
        super().__init_subclass__(**options)
        for name in NOT_HEEDED:
            if getattr(cls, name) is not getattr(APIView, name):
                raise TypeError(f"{cls.__qualname__} declares {name}, which ApiView does not look at.")

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Make what a view's declarations name, and return the function for a route.

        Raises TypeError for what only a class can declare.
        """
        for name in (*MADE_ONCE, *NOT_HEEDED):
            if name in initkwargs:
                raise TypeError(f"{cls.__qualname__}.as_view() was given {name}; declare it in a class of its own.")
        cls.parsers = [parser() for parser in cls.parser_classes]
        cls.authenticators = [authenticator() for authenticator in cls.authentication_classes]
        cls.permissions = [permission() for permission in cls.permission_classes]
        return super().as_view(**initkwargs)

    def get_parsers(self) -> list[BaseParser]:
        """Return what reads bodies."""
        return self.parsers

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return what reads credentials, the first first."""
        return self.authenticators

    def get_permissions(self) -> list[Any]:
        """Return what is asked of whoever comes."""
        return self.permissions

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> ApiRequest:
        """Return the request as the view sees it."""
        return ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.negotiator,
            parser_context={"view": self},
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Judge a request, before the method's handler is called."""
        self.perform_authentication(request)
        self.check_permissions(request)
        if request.META.get("QUERY_STRING"):
            self.check_query(request)

    def check_query(self, request: Request) -> None:
        """Raise ValidationError for query parameters that the method does not take, or that are given twice."""
        method = "GET" if request.method == "HEAD" else str(request.method)
        if hasattr(self, method.lower()):
            serializer = self.query_serializers.get(method)
            check_parameters(request.query_params, serializer().fields if serializer else ())

    def perform_authentication(self, request: Any) -> None:
        """Find out who comes, now and not when somebody asks."""
        request.authenticate()

    def raise_uncaught_exception(self, exc: Exception) -> NoReturn:
        """Let our own failure rise."""
        raise exc

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, and part what refers to each other, so that it goes with the request.

        Left to the next search for cycles, it would hold memory that is still in the core's cache, while the next
        request takes memory that is not. An answer that is still to be made by its view keeps what it needs.
        """
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        if not response.streaming:
            (self.request.parser_context or {}).clear()
            vars(self).clear()
        return response

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Nothing but what each answer needs; Allow belongs to 405 (RFC 9110, section 15.5.6)."""
        return {}


def without_parameters(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Decorate a plain view that takes no query parameters: any is a 400."""

    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        try:
            check_parameters(request.GET, ())
        except ValidationError as error:
            return invalid_fields(error)
        return view(request)

    return answer
