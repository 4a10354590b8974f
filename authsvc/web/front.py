"""The front page: where a person finds the documentation and the console."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from authsvc.problems import NOT_FOUND, problem

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# In the order of preference where a client accepts either: only a browser names HTML.
TYPES = ["application/json", "application/problem+json", "text/html"]
LONGEST_ACCEPT = 1000  # characters; Django compares each type named with each of ours


def front(request: HttpRequest) -> HttpResponse:
    """/: a page for a browser, a 404 for everything else."""
    request.META["HTTP_ACCEPT"] = request.META.get("HTTP_ACCEPT", "")[:LONGEST_ACCEPT]
    if request.method in ("GET", "HEAD") and request.get_preferred_type(TYPES) == "text/html":
        response = render(request, "authsvc/front.html")
        response.headers["Content-Security-Policy"] = POLICY
    else:
        response = problem(404, NOT_FOUND)
    response.headers["Vary"] = "Accept"
    return response
