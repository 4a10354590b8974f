"""The pages that rotate a key: confirmation, the new secret shown once, and a mail that asks the owner."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action

from accounts.authentication import user_of
from apikeys import reminders, services
from apikeys.models import APIKey, Secret
from authsvc.console import HttpResponseSeeOther
from authsvc.ids import parse_id
from authsvc.web import one_time


class RotationPages:
    """The actions of APIKeyAdmin that concern a key's secrets."""

    key_or_404: Any  # of APIKeyAdmin, as the two below
    page: Any
    message_user: Any

    def has_rotate_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Return whether this operator may rotate keys, and this one."""
        if not request.user.has_perm("apikeys.revoke_apikey"):
            return False
        key = key_with_id(object_id)
        return key is None or services.may_rotate(key=key, actor=user_of(request))

    def has_ask_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Return whether this operator may ask the owner of this key to rotate it."""
        if not request.user.has_perm("apikeys.revoke_apikey"):
            return False
        key = key_with_id(object_id)
        return key is None or not key.owner.is_service

    @action(description="Rotate…", url_path="rotate", permissions=["rotate"], icon="autorenew")
    def rotate_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then give a key a new secret and lead to the page that shows it once."""
        key = self.key_or_404(request, object_id)
        if request.method != "POST":
            return self.rotation_page(request, key)
        try:
            plaintext = services.rotate_key(
                key=key,
                overlap_seconds=parse_number(request.POST.get("overlap", str(services.OVERLAP))),
                actor=user_of(request),
                in_force=parse_number(request.POST.get("in_force", "")),
            )
        except ValidationError as refusal:
            return self.rotation_page(request, key, " ".join(refusal.messages), status=400)
        if plaintext is None:
            return self.rotation_page(request, key, "The key is revoked and cannot be rotated.", status=400)
        self.log_change(request, key, "Rotated.")  # type: ignore[attr-defined]  # of APIKeyAdmin
        path = reverse("admin:apikeys_apikey_secret", args=[key.pk])
        response = HttpResponseSeeOther(path)
        one_time.hand_over(request, response, plaintext, path=path)
        response.headers["Cache-Control"] = "no-store"
        return response

    def rotation_page(self, request: HttpRequest, key: APIKey, error: str = "", status: int = 200) -> HttpResponse:
        """Return the confirmation page. It has the current secret's id, so that submitting it twice rotates once."""
        in_force = Secret.objects.filter(api_key=key, retires_at=None).values_list("pk", flat=True).first()
        context: dict[str, Any] = {"key": key, "back": page_of(key), "title": "Rotate an API key", "error": error}
        context["overlap"] = request.POST.get("overlap", str(services.OVERLAP)).strip()
        response: HttpResponse = self.page(request, "apikeys/rotate.html", status, in_force=in_force, **context)
        return response

    def secret_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a new secret once, to the operator who created it."""
        key = self.key_or_404(request, object_id)
        if not self.has_rotate_permission(request, object_id):
            raise PermissionDenied
        if request.method != "GET" or one_time.is_prefetch(request):
            return HttpResponse(status=204, headers={"Cache-Control": "no-store"})
        plaintext = one_time.take(request)
        context = {"key": key, "back": page_of(key), "title": "The new secret of an API key"}
        response: HttpResponse = self.page(request, "apikeys/secret.html", plaintext=plaintext, **context)
        response.headers["Referrer-Policy"] = "no-referrer"
        one_time.forget(response, path=request.path)
        return response

    @action(description="Ask the owner to rotate…", url_path="ask", permissions=["ask"], icon="mail")
    def ask_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then mail the owner of a key."""
        key = self.key_or_404(request, object_id)
        if request.method != "POST":
            context = {"key": key, "back": page_of(key), "title": "Ask the owner"}
            page: HttpResponse = self.page(request, "apikeys/ask.html", **context)
            return page
        if reminders.ask_to_rotate(key=key, actor=user_of(request)):
            self.message_user(request, "The owner is asked by mail.", messages.SUCCESS)
        else:
            sentence = "No mail was sent: the key is revoked, its owner has no address, or was asked three times today."
            self.message_user(request, sentence, messages.ERROR)
        return HttpResponseRedirect(page_of(key))


def key_with_id(text: str | None) -> APIKey | None:
    key_id = parse_id(text)
    return None if key_id is None else APIKey.objects.select_related("owner").filter(pk=key_id).first()


def page_of(key: APIKey) -> str:
    """Return the address of a key's page."""
    return reverse("admin:apikeys_apikey_change", args=[key.pk])


def parse_number(text: str) -> int:
    """Return a number that was typed, or -1, which no field accepts."""
    found = parse_id(text.strip())
    return -1 if found is None else found
