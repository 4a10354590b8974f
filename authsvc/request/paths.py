"""Which paths are for a browser: the console, its files and the documentation. Every other one is the API's.

And the URL that comes before them all.
"""

from django.conf import settings

ADMIN, STATIC = "/admin/", "/static/"
DOCS = {"/docs", "/redoc"}
SINGLE = {*DOCS, "/admin"}  # the last is sent on to ADMIN


def is_page(path: str) -> bool:
    """Say whether a path is for a browser; every other one is the API's."""
    return path.startswith((ADMIN, STATIC)) or path in SINGLE


def public_url() -> str:
    """Return PUBLIC_URL where the operator has set it, else ""; it does not end in a slash."""
    public: str = settings.PUBLIC_URL
    return "" if public == f"http://127.0.0.1:{settings.PORT}" else public
