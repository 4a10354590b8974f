"""System checks: an API view that does not say who may call it is refused at start-up, not left to a default."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's own name
from django.db import DEFAULT_DB_ALIAS
from django.http.request import validate_host
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from authsvc.database.postgresql import pooled
from authsvc.request.paths import public_url

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


@register(TAG, deploy=True)
def clients_can_reach_the_service(**options: Any) -> list[CheckMessage]:
    """Return authsvc.E010 to W012 for settings that do not agree on where clients reach the service."""
    if not public_url():
        hint = "Set it to the URL that clients use, such as https://auth.example.com."
        return [Error("PUBLIC_URL has its default, which no other machine can reach.", hint=hint, id="authsvc.E010")]
    found: list[CheckMessage] = []
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    if not validate_host(f"[{host}]" if ":" in host else host, settings.ALLOWED_HOSTS):
        message = f"ALLOWED_HOSTS does not have {host}, the host of PUBLIC_URL: each request for it is a 400."
        found.append(Warning(message, hint=f"Add {host} to ALLOWED_HOSTS.", id="authsvc.W011"))
    if settings.HTTPS and settings.TRUSTED_PROXIES == 0:
        message = (
            "HTTPS is true and TRUSTED_PROXIES is 0: no request counts as https, and each is redirected to itself."
        )
        found.append(Warning(message, hint="Set TRUSTED_PROXIES to the number of proxies.", id="authsvc.W012"))
    return found
