"""The console's pages of keys: list, search, disable, rotate, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import TabularInline
from unfold.decorators import action, display

from accounts.authentication import user_of
from accounts.jwt import tokens
from accounts.models import User
from apikeys import keys, queries, services, usage
from apikeys.admin.rotation import RotationPages
from apikeys.filters import ExpiryFilter, StatusFilter
from apikeys.models import APIKey, APIKeyQuerySet, Outcome, Secret
from audit.models import AuditEvent
from authsvc.console import ConsoleAdmin, Large, ReadOnly, credential_finders, search_words
from authsvc.ids import parse_id
from authsvc.problems import InvalidCredential

SHOWN_EVENTS = 50
COLOURS = {"active": "success", "expired": "warning", "disabled": "warning", "revoked": "danger"}


def find_key(text: str) -> APIKey | None:
    """Return the key, in any state, of a plaintext or of an unexpired token that it was exchanged for, or None."""
    if keys.is_well_formed(text):
        return queries.key_by_digest(keys.digest(text))
    try:
        key_id = parse_id(tokens.read_access_token(text).key_id)
    except InvalidCredential:
        return None
    return None if key_id is None else APIKey.objects.filter(pk=key_id).first()


credential_finders.append(find_key)


class SecretsOfKey(ReadOnly, TabularInline):
    """The secrets of a key, by their first characters."""

    model = Secret
    extra = 0
    fields = readonly_fields = ("prefix", "created_at", "retires_at", "last_used_at", "last_used_address")
    ordering = ("-id",)


@admin.register(APIKey)
class APIKeyAdmin(RotationPages, ReadOnly, Large, ConsoleAdmin):
    """Read only apart from its actions; a revocation is permanent."""

    list_display = ("name", "shown_prefix", "owner", "shown_status", "created_at", "expires_at", "last_used_at")
    list_display_links = ("name", "shown_prefix")
    list_filter = (StatusFilter, ExpiryFilter, "is_enabled", "owner__is_service")
    list_select_related = ("owner",)
    search_fields = ("name",)  # shows the search box; queries.search does the search
    search_help_text = "Name, owner, or the first characters of the key"
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": ("name", "shown_prefix", "owner", "shown_status", "is_enabled")}),
        ("What it may", {"fields": ("scope", "allowed_ips", "rate_limit", "metadata")}),
        ("Life", {"fields": ("created_at", "expires_at", "revoked_at", "revoked_reason")}),
        ("Use", {"fields": ("last_used_at", "last_used_address", "shown_usage")}),
        ("Record", {"fields": ("shown_events",)}),
    )
    inlines = (SecretsOfKey,)
    actions = ("revoke_selected",)
    actions_detail = ("toggle_enabled", "rotate_one", "ask_one", "revoke_one")

    def get_urls(self) -> list[URLPattern]:
        secret_page = self.admin_site.admin_view(self.secret_page)
        secret: URLPattern = path("<path:object_id>/secret/", secret_page, name="apikeys_apikey_secret")
        return [secret, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> APIKeyQuerySet:
        return queries.with_prefix(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: APIKeyQuerySet, search_term: str
    ) -> tuple[APIKeyQuerySet, bool]:
        """Return the keys that match every word, without duplicates."""
        for word in search_words(search_term):
            queryset = queries.search(queryset, word)
        return queryset, False

    def is_known(self, request: HttpRequest, text: str) -> bool:
        """Return whether a text is the name of a key, or an owner's name or address."""
        return APIKey.objects.filter(name=text).exists() or User.objects.known_as(text).exists()

    def shorten(self, text: str) -> str:
        """Return a search term with keys cut to their prefix."""
        start = f"{settings.API_KEY_PREFIX}_"
        shown = len(start) + keys.SHOWN_LENGTH
        return " ".join(word[:shown] if word.startswith(start) else word for word in text.split())

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Return whether this operator may disable and revoke keys."""
        return request.user.has_perm("apikeys.revoke_apikey")

    @display(description="Key")
    def shown_prefix(self, key: APIKey) -> str:
        """What the key begins with."""
        return f"{key.prefix}…"

    @display(description="Status", label=COLOURS)
    def shown_status(self, key: APIKey) -> str:
        """The status as a coloured label."""
        return "disabled" if key.status == "active" and not key.is_enabled else key.status

    @display(description="Last 30 days")
    def shown_usage(self, key: APIKey) -> str:
        """The days on which the key was used, by outcome."""
        usage.flush()
        days = queries.usage_of(key, days=30, now=timezone.now())["days"]
        rows = [(day.pop("day"), list(day.values())) for day in days]
        used = [(day, counts) for day, counts in rows if any(counts)]
        return render_to_string("apikeys/usage.html", {"days": used, "outcomes": Outcome.values})

    @display(description="Latest events")
    def shown_events(self, key: APIKey) -> str:
        """The key's latest audit events."""
        events = AuditEvent.objects.filter(subject_type="apikey", subject_id=key.pk).order_by("-id")[:SHOWN_EVENTS]
        return render_to_string("apikeys/events.html", {"events": events})

    def key_or_404(self, request: HttpRequest, object_id: str) -> APIKey:
        key: APIKey | None = self.get_object(request, object_id)
        if key is None:
            raise Http404
        return key

    @action(description="Enable or disable", url_path="switch", permissions=["revoke"], icon="pause")
    def toggle_enabled(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then disable a key, or enable it again."""
        key = self.key_or_404(request, object_id)
        back = reverse("admin:apikeys_apikey_change", args=[key.pk])
        if request.method == "POST":
            enabled = request.POST.get("enable") == "yes"
            if services.change_key(key=key, owner=key.owner, actor=user_of(request), is_enabled=enabled):
                self.log_change(request, key, "Enabled." if enabled else "Disabled.")
            else:
                self.message_user(request, "The key is revoked and cannot be changed.", messages.ERROR)
            return HttpResponseRedirect(back)
        return self.page(request, "apikeys/switch.html", key=key, back=back, title="Enable or disable an API key")

    @admin.action(description="Revoke selected API keys…", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: APIKeyQuerySet) -> HttpResponse | None:
        """Ask, then revoke many."""
        back = request.get_full_path()
        return self.confirm_and_revoke(request, list(queryset.select_related("owner")), back, action="revoke_selected")

    @action(description="Revoke…", url_path="revoke", permissions=["revoke"], icon="block")
    def revoke_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then revoke one."""
        key = self.key_or_404(request, object_id)
        return self.confirm_and_revoke(request, [key], reverse("admin:apikeys_apikey_change", args=[key.pk]))

    def confirm_and_revoke(
        self, request: HttpRequest, keys: Sequence[APIKey], back: str, action: str = ""
    ) -> HttpResponse:
        """Return the confirmation page; after the confirmation, revoke and redirect to ``back``."""
        reason, error = request.POST.get("reason", ""), ""
        if request.method == "POST" and "confirm" in request.POST:
            try:
                self.revoke(request, keys, reason)
            except ValidationError as refusal:
                error = " ".join(refusal.messages)
            else:
                return HttpResponseRedirect(back)
        context = {"keys": keys, "action": action, "reason": reason, "error": error, "back": back}
        return self.page(request, "apikeys/revoke.html", 400 if error else 200, title="Revoke API keys", **context)

    def page(self, request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page of the console with ``no-store``."""
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        response = render(request, template, context, status=status)
        response.headers["Cache-Control"] = "no-store"
        return response

    @transaction.atomic
    def revoke(self, request: HttpRequest, keys: Sequence[APIKey], reason: str) -> None:
        """Revoke keys, log each in the admin's history, and show how many."""
        ended = [key for key in keys if services.revoke_key(key=key, reason=reason, actor=user_of(request))]
        for key in ended:
            self.log_change(request, key, f"Revoked. {reason}".strip())
        already = len(keys) - len(ended)
        self.message_user(request, f"Revoked {len(ended)} of {len(keys)} API keys.", messages.SUCCESS)
        if already:
            self.message_user(request, f"{already} had been revoked before.", messages.WARNING)
