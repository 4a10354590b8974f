"""Which paths are for a browser: the console, its files and the documentation. Every other one is the API's."""

ADMIN, STATIC = "/admin/", "/static/"
DOCS = {"/docs", "/redoc"}
SINGLE = {*DOCS, "/admin"}  # the last is sent on to ADMIN


def is_page(path: str) -> bool:
    """Say whether a path is for a browser; every other one is the API's."""
    return path.startswith((ADMIN, STATIC)) or path in SINGLE
