"""Django's WSGI handler, but for two kinds of request: one that Django crashes on, and one that it does not read."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_started
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch
from django.utils.http import parse_header_parameters

from authsvc.request.paths import is_page

LONGEST_TYPE = 256  # characters of a Content-Type


class TooLarge:
    """The body of a request that has more than DATA_UPLOAD_MAX_MEMORY_SIZE bytes."""

    def read(self, size: int = -1) -> NoReturn:
        raise RequestDataTooBig("The request body is too large.")

    readline = read


class Request(WSGIRequest):
    """A request whose Content-Type may be nonsense, and whose body may come in chunks.

    A parameter with an unknown encoding (RFC 2231, ``charset*=nonsense''x``) raises while the request is being built,
    outside everything that turns exceptions into answers. Such a type is no type: the view answers 415. So is one with
    a parameter beyond ASCII, and one of more than LONGEST_TYPE characters, which Django would parse in time quadratic
    in its length. The charset decodes nothing: addresses and forms are UTF-8, and codecs such as idna raise in the
    middle of a request, or take quadratic time.

    Django reads no body without a length and takes a chunked one (RFC 9112, section 7.1) for an empty one. So it is
    read here, up to one byte more than a body may have.

    A body that is too large, or that the server has not waited for, raises RequestDataTooBig when it is read.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        # The server puts the chunks together; what it marks as terminated can be read without knowing its length.
        length, limit = environ.get("CONTENT_LENGTH", ""), settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if environ.get("authsvc.cut_short") or (length.isdigit() and int(length) > limit):
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = TooLarge(), str(limit + 1)
        elif "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(limit + 1)
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        super().__init__(environ)

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        if "CONTENT_TYPE" not in meta or len(meta["CONTENT_TYPE"]) > LONGEST_TYPE:
            self.content_type, self.content_params = "", {}
            meta["CONTENT_TYPE"] = ""
            return
        try:
            self.content_type, self.content_params = parse_header_parameters(meta["CONTENT_TYPE"])
            "".join(self.content_params.values()).encode("ascii")  # half a surrogate pair is no boundary of anything
        except (LookupError, ValueError):
            self.content_type, self.content_params = "", {}
            meta["CONTENT_TYPE"] = ""


class Handler(WSGIHandler):
    """The application that a server calls. It remembers where a route without a parameter leads."""

    request_class = Request

    def __init__(self) -> None:
        super().__init__()
        self.prefixed = bool(settings.FORCE_SCRIPT_NAME)
        self.known: dict[tuple[str, str], ResolverMatch] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        """Answer a request (PEP 3333): a page as Django does, the API without a look for what it has not.

        That is a prefix before all its paths, unless a setting or the server names one, and an answer that is a file.
        """
        if is_page(environ.get("PATH_INFO", "")) or self.prefixed or environ.get("SCRIPT_NAME"):
            return super().__call__(environ, start_response)
        request_started.send(sender=self.__class__, environ=environ)
        response = self.get_response(self.request_class(environ))
        cookies = [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
        # The values of its private mapping are what its public methods take apart and put together again.
        headers = [*response.headers._store.values(), *cookies]
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        return response

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
