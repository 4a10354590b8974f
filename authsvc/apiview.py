"""The base of the API's views."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.views import APIView


class ApiRequest(Request):
    """DRF's request, which asks itself for private attributes that it has not set yet.

    None of them is the HttpRequest's, and looking there, by way of two exceptions, costs a twentieth of a request.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return super().__getattr__(name)


class ApiView(APIView):
    """A view without OPTIONS, which is CORS's and answered before."""

    http_method_names = ("get", "head", "post", "put", "patch", "delete")

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> ApiRequest:
        """Return the request as the view sees it."""
        return ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Nothing but what each answer needs; Allow belongs to 405 (RFC 9110, section 15.5.6)."""
        return {}
