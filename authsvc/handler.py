"""Django's WSGI handler, but for two kinds of request: one that Django crashes on, and one that it does not read."""

from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.urls import ResolverMatch


class Request(WSGIRequest):
    """A request whose Content-Type may be nonsense, and whose body may come in chunks.

    A parameter with an unknown encoding (RFC 2231, ``charset*=nonsense''x``) raises while the request is being built,
    outside everything that turns exceptions into answers. Such a type is no type: the view answers 415.

    Django reads no body without a length and takes a chunked one (RFC 9112, section 7.1) for an empty one. So it is
    read here, up to one byte more than a body may have, which whoever reads it then answers with 413.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        # The server puts the chunks together; what it marks as terminated can be read without knowing its length.
        if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        super().__init__(environ)

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # the stubs leave out what is private
        except (LookupError, ValueError):
            self.content_type, self.content_params = "", {}
            meta["CONTENT_TYPE"] = ""


class Handler(WSGIHandler):
    """The application that a server calls. It remembers where a route without a parameter leads."""

    request_class = Request

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[str, str], ResolverMatch] = {}

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Return the view of a request. Walking through all patterns costs a twentieth of a request each time."""
        urlconf = getattr(request, "urlconf", settings.ROOT_URLCONF)
        match = self.known.get((urlconf, request.path_info))
        if match is None:
            match = super().resolve_request(request)
            if f"/{match.route}" == request.path_info:  # as many as there are routes, whatever is asked for
                self.known[urlconf, request.path_info] = match
        request.resolver_match = match
        return match
