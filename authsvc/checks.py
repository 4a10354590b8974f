"""System checks: an API view that does not say who may call it is refused at start-up, not left to a default."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's own name
from django.db import DEFAULT_DB_ALIAS
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from authsvc.database.postgresql import pooled

TAG = "authsvc"
POLICY = ("authentication_classes", "permission_classes")


def api_views(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[type[APIView]]:
    """Yield the DRF view classes behind URL patterns, however deep."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from api_views(pattern.url_patterns)
        else:
            view = getattr(pattern.callback, "cls", None)
            if isinstance(view, type) and issubclass(view, APIView):
                yield view


def declares(view: type[APIView], attribute: str) -> bool:
    """Say whether a view has an attribute of its own; a function under DRF's @api_view has DRF's very default."""
    return getattr(view, attribute) is not getattr(APIView, attribute)


@register(TAG)
def every_view_declares_its_policy(**options: Any) -> list[CheckMessage]:
    """Return authsvc.E001 for each view without its own authentication or permission classes."""
    return [
        Error(
            f"{view.__module__}.{view.__qualname__} does not declare {attribute}.",
            hint="Say who may call it; for everybody, authentication_classes = [] and permission_classes = [AllowAny].",
            obj=view,
            id="authsvc.E001",
        )
        for view in api_views(get_resolver().url_patterns)
        for attribute in POLICY
        if not declares(view, attribute)
    ]


@register(TAG)
def limits_are_counted_once(**options: Any) -> list[CheckMessage]:
    """Return authsvc.W001 where several processes would each count rate limits in a memory of their own."""
    if settings.REDIS_URL or settings.WEB_CONCURRENCY == 1:
        return []
    message = "Rate limits are counted in each process's memory, so a limit is in effect multiplied by the processes."
    return [Warning(message, hint="Set REDIS_URL, or WEB_CONCURRENCY=1.", id="authsvc.W001")]


@register(Tags.database)
def poolers_leave_no_wait_without_an_end(databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Return authsvc.W002 where a pooler keeps the service from setting what each session of PostgreSQL needs.

    Django runs it for ``manage.py check --database default`` and before ``migrate``.
    """
    missing = pooled.missing_settings() if databases and DEFAULT_DB_ALIAS in databases else {}
    if not missing:
        return []
    role = settings.DATABASES[DEFAULT_DB_ALIAS]["USER"]
    hint = " ".join(f"ALTER ROLE {role} SET {name} = '{value}';" for name, value in missing.items())
    message = "A connection pooler stands before PostgreSQL, where the service can set nothing for its sessions."
    return [Warning(message, hint=hint, id="authsvc.W002")]
