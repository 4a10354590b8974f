"""The API's documentation: the OpenAPI document, and two readers of it served from the project's own files."""

from functools import cache, lru_cache
from threading import Lock
from typing import Any

import orjson
from django.conf import settings
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator

from authsvc.api.views import without_parameters
from authsvc.config.startup import serving
from authsvc.problems import reading_only
from authsvc.request.paths import public_url

# Sent for each reading of the document; receivers return what to add to its ``info``, as of now.
describing = Signal()


generating = Lock()


def routes() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document, generated once; under a lock, for the generator is not thread-safe."""
    with generating:
        return _routes()


def on_serving(**signal: Any) -> None:
    """Generate it before the first request, whose thread and core others need."""
    routes()


serving.connect(on_serving)


@cache
def _routes() -> dict[str, Any]:
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]  # the package is half annotated
    document: dict[str, Any] = generator.get_schema(request=None, public=True)
    return document


def document() -> bytes:
    """Return the document with what may change while the process runs, such as the scopes that operators edit."""
    added: list[tuple[Any, Any]] = describing.send(sender=None)
    return rendered(tuple((key, orjson.dumps(value), text) for _, (key, value, text) in added), server())


@lru_cache(maxsize=1)
def rendered(added: tuple[tuple[str, bytes, str], ...], url: str) -> bytes:
    """Return the document with members of its ``info``, each as JSON and as text; kept, as it takes 3 ms to write."""
    known = routes()
    info = dict(known["info"])
    for key, value, text in added:
        info[key], info["description"] = orjson.Fragment(value), info["description"] + text
    return orjson.dumps({**known, "info": info, "servers": [{"url": url}]})


def server() -> str:
    """Return where the API is: PUBLIC_URL where the operator has set it, else the root of this host."""
    return public_url() or settings.FORCE_SCRIPT_NAME or "/"


@reading_only
@without_parameters
def openapi(request: HttpRequest) -> HttpResponse:
    """/openapi.json."""
    return HttpResponse(document(), content_type="application/json")


@reading_only
def swagger(request: HttpRequest) -> HttpResponse:
    """/docs: Swagger UI, to read and to try."""
    return render(request, "authsvc/swagger.html")


@reading_only
def redoc(request: HttpRequest) -> HttpResponse:
    """/redoc: ReDoc, to read."""
    return render(request, "authsvc/redoc.html")
