"""The operator's view of people."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import passwords, proofs, services, sessions
from accounts.authentication import user_of
from accounts.models import User
from audit import services as audit
from audit.events import Event
from authsvc.console import Large, Searchable


class UserForm(UserChangeForm):
    """A user without the password, which has a form of its own."""

    class Meta:
        model = User
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = not self.instance.is_service
        for field in (field for name, field in self.fields.items() if name != "password"):
            # What counts as changed is what differs from the page as it was opened, not from the row as it is by now.
            field.show_hidden_initial = True


class PasswordForm(AdminPasswordChangeForm):
    """A new password for somebody else; nothing but the password is written, which hashing has kept waiting."""

    def save(self, commit: bool = True) -> User:
        super().save(commit=False)
        self.user.save(update_fields=["password"])
        user: User = self.user
        return user


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """An operator's own new password; guesses at the old one count like those at a login."""

    def clean_old_password(self) -> str:
        """Return the old password. Raises LockedOut after too many guesses."""
        old: str = self.cleaned_data["old_password"]
        if not passwords.is_current(self.user, old):
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return old


def own_password(request: HttpRequest) -> HttpResponseBase:
    """The page of an operator's own password, with OwnPasswordForm: the theme's view names its form itself."""
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse("admin:password_change_done"),
        extra_context=admin.site.each_context(request),
    )
    return view(request)


class NewUserForm(UserCreationForm):
    """A user with a first password, and an address, which only service accounts lack."""

    class Meta:
        model = User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = True

    def clean_username(self) -> str:
        """Leave it to the constraint, which knows more forms of a name than Django's own look does."""
        username: str = self.cleaned_data["username"]
        return username


@admin.register(User)
class UserAdmin(Searchable, Large, DjangoUserAdmin, ModelAdmin):
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

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        """Store what the operator changed and no more: the rest may have changed since the page was opened."""
        if not change:
            obj.save(force_insert=True)
            audit.record(Event.USER_CREATED, actor=user_of(request), subject=obj)
            return
        columns = {field.name for field in User._meta.concrete_fields}
        changed = [name for name in form.changed_data if name in columns]
        if "email" in changed:
            obj.email_verified_at = None  # it was the other address that was confirmed
            changed.append("email_verified_at")
        obj.save(update_fields=[name for name in changed if name != "is_active"])
        if "is_active" in changed:
            services.set_active(user=obj, active=obj.is_active, actor=user_of(request))
        if others := [name for name in form.changed_data if name not in ("is_active", "groups")]:
            audit.record(Event.USER_CHANGED, actor=user_of(request), subject=obj, reason=" ".join(others))

    def save_related(self, request: HttpRequest, form: ModelForm[User], formsets: Any, change: bool) -> None:
        """Store roles, and record each one given and taken away."""
        user = form.instance
        before = set(user.groups.values_list("name", flat=True))
        super().save_related(request, form, formsets, change)
        after = set(user.groups.values_list("name", flat=True))
        for role in sorted(after - before):
            audit.record(Event.ROLE_GRANTED, actor=user_of(request), subject=user, reason=role)
        for role in sorted(before - after):
            audit.record(Event.ROLE_TAKEN_AWAY, actor=user_of(request), subject=user, reason=role)

    @admin.action(description="End all sessions of selected users", permissions=["change"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End them; API keys stay."""
        ended = [sessions.end_all(user=u, reason="ended by an operator", actor=user_of(request)) for u in queryset]
        self.message_user(request, f"Sessions ended: {sum(ended)}.", messages.SUCCESS)

    @admin.action(description="Confirm the addresses of selected users", permissions=["change"])
    def confirm_addresses(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Take the operator's word for them."""
        confirmed = [proofs.mark_confirmed(user=user, actor=user_of(request)) for user in queryset]
        self.message_user(request, f"Confirmed {sum(confirmed)} of {len(confirmed)} addresses.", messages.SUCCESS)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Whoever may delete a user may delete the sessions and lockouts with it, which have no page to delete on."""
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return found, counts, lacking - {"session", "lockout"}, protected

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete a user who has no keys, and record it."""
        audit.record(Event.USER_DELETED, actor=user_of(request), subject=obj)
        obj.delete()

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """The same for many."""
        for user in queryset:
            self.delete_model(request, user)
