"""Keyset pagination: a page is found by index however far down the list it is."""

import base64
import binascii
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.request import Request

from authsvc.request.paths import public_url

Row = TypeVar("Row", bound=Model)


def page(rows: QuerySet[Row], *, limit: int, cursor: str | None) -> tuple[list[Row], str | None]:
    """Return one page of rows that are ordered by descending id, and the cursor of the next page or None.

    Raises ValidationError on ``cursor``.
    """
    if cursor is not None:
        rows = rows.filter(pk__lt=decode(cursor))
    found = list(rows[: limit + 1])
    more = len(found) > limit
    return found[:limit], encode(found[limit - 1].pk) if more else None


def encode(last_id: int) -> str:
    """Return the opaque cursor of the page after a row."""
    return base64.urlsafe_b64encode(str(last_id).encode()).decode().rstrip("=")


def decode(cursor: str) -> int:
    """Return the id in a cursor. Raises ValidationError on ``cursor``."""
    try:
        last_id = int(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        last_id = 0
    if not 0 < last_id < 2**63 or encode(last_id) != cursor:
        raise ValidationError({"cursor": ValidationError("This is no cursor of a list.", code="invalid")})
    return last_id


def link_to(request: Request, cursor: str) -> str:
    """Return the Link header for the next page (RFC 8288): below PUBLIC_URL, or where the request came to."""
    query = request.GET.copy()
    query["cursor"] = cursor
    public = public_url()
    path = f"{public}{request.path_info}" if public else request.path
    url = request.build_absolute_uri(f"{path}?{query.urlencode()}")
    return f'<{url}>; rel="next"'
