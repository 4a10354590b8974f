"""The console's pages of users."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from accounts import authority
from accounts.admin.forms import NewUserForm, OwnPasswordForm, PasswordForm, UserForm
from accounts.authentication import user_of
from accounts.authority import Right
from accounts.models import User
from accounts.services import administration, mail_links, roles, sessions
from authsvc.console import ConsoleAdmin, Large

# What only superusers change. For everybody else these are no fields of the form.
SUPERUSERS_ONLY = ("is_staff", "is_superuser", "user_permissions")


def own_password(request: HttpRequest) -> HttpResponseBase:
    """The page of an operator's own password, with OwnPasswordForm: the theme's view names its form itself."""
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse("admin:password_change_done"),
        extra_context=admin.site.each_context(request),
    )
    return view(request)


@admin.register(User)
class UserAdmin(Large, DjangoUserAdmin, ConsoleAdmin):
    """Users. Disabling one ends all that is theirs; deleting one with keys is refused, for the keys' record's sake."""

    form, add_form, change_password_form = UserForm, NewUserForm, PasswordForm
    list_display = ("username", "email", "is_active", "is_service", "is_staff", "created_at", "last_login")
    list_filter = ("is_active", "is_service", "is_staff", "is_superuser", "groups")
    search_fields = ("username", "email")
    ordering = ("-id",)
    readonly_fields = ("is_service", "created_at", "last_login", "email_verified_at")
    actions = ("end_sessions", "confirm_addresses")
    fieldsets = (
        (None, {"fields": ("username", "email", "password")}),
        ("Access", {"fields": ("is_active", "is_service", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Record", {"fields": ("created_at", "last_login", "email_verified_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        reserved = () if authority.has(user_of(request), Right.SET_PERMISSIONS) else SUPERUSERS_ONLY
        return (*self.readonly_fields, *reserved)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return whether an operator may change users, and this one."""
        may: bool = super().has_change_permission(request, obj)
        return may and (obj is None or authority.has(user_of(request), Right.CHANGE_USER, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return whether an operator may delete users, and this one."""
        may: bool = super().has_delete_permission(request, obj)
        return may and (obj is None or authority.has(user_of(request), Right.CHANGE_USER, obj))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # noqa: A002  Django's name
        """The page of another's password, for an operator who gains nothing by it."""
        user = self.get_object(request, id)
        if user == user_of(request):  # with the current password, whose guesses are counted
            return HttpResponseRedirect(reverse("admin:password_change"))
        if user is not None:
            authority.require(user_of(request), Right.TAKE_OVER, user)
        return super().user_change_password(request, id, form_url)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Store what the operator changed and no more: the rest may have changed since the page was opened."""
        if not change:
            administration.create_user(user=obj, actor=user_of(request))
            return
        check_reserved_fields(request, obj)
        administration.change_user(user=obj, changes=form.changes(), actor=user_of(request))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Grant and revoke the roles and permissions that the operator added and removed."""
        if not change:
            return
        user, actor = form.instance, user_of(request)
        granted, revoked = form.edited("groups")
        for role in sorted(granted, key=str):
            roles.grant_role(user=user, role=role.name, actor=actor)
        for role in sorted(revoked, key=str):
            roles.revoke_role(user=user, role=role.name, actor=actor)
        granted, revoked = form.edited("user_permissions")
        if granted or revoked:
            administration.change_permissions(of=user, grant=granted, revoke=revoked, actor=actor)

    @admin.action(description="End all sessions of selected users", permissions=["change"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End them; API keys stay."""
        users = self.permitted(request, queryset)
        ended = [sessions.end_everywhere(user=u, reason="ended by an operator", actor=user_of(request)) for u in users]
        self.message_user(request, f"Sessions ended: {sum(ended)}.", messages.SUCCESS)

    @admin.action(description="Confirm the addresses of selected users", permissions=["change"])
    def confirm_addresses(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Confirm them without a mail."""
        users = self.permitted(request, queryset)
        confirmed = [mail_links.mark_email_confirmed(user=user, actor=user_of(request)) for user in users]
        self.message_user(request, f"Confirmed {sum(confirmed)} of {len(confirmed)} addresses.", messages.SUCCESS)

    def permitted(self, request: HttpRequest, users: QuerySet[User]) -> list[User]:
        """Return the users of a list whom the operator may change, and report how many are not among them."""
        chosen = list(users)
        permitted = [user for user in chosen if authority.has(user_of(request), Right.CHANGE_USER, user)]
        if left_out := len(chosen) - len(permitted):
            self.message_user(request, f"Left out: {left_out}. {Right.CHANGE_USER.value}", messages.ERROR)
        return permitted

    def is_known(self, request: HttpRequest, text: str) -> bool:
        """Return whether a text is somebody's name or address."""
        return bool(User.objects.known_as(text).exists())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Allow the deletion of a user's sessions and lockouts, which have no delete permission of their own."""
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return found, counts, lacking - {"session", "lockout"}, protected

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete a user who has no keys, and record it."""
        administration.delete_user(user=obj, actor=user_of(request))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """The same for many."""
        for user in queryset:
            self.delete_model(request, user)


def check_reserved_fields(request: HttpRequest, user: User) -> None:
    """Raise PermissionDenied for a forged form that would change the fields of SUPERUSERS_ONLY."""
    if authority.has(user_of(request), Right.SET_PERMISSIONS):
        return
    stored = User.objects.get(pk=user.pk)
    flags = {
        name: request.POST[name] not in ("", "false", "False", "0")
        for name in SUPERUSERS_ONLY[:2]
        if name in request.POST
    }
    held = {str(pk) for pk in stored.user_permissions.values_list("pk", flat=True)}
    if any(getattr(stored, name) is not value for name, value in flags.items()) or not (
        set(request.POST.getlist("user_permissions")) <= held
    ):
        raise PermissionDenied(Right.SET_PERMISSIONS.value)
