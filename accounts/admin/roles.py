"""The operator's view of roles and scopes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import django.contrib.auth.admin  # noqa: F401  it registers Group, which Role replaces
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.forms import PaginationInlineFormSet

from accounts import authority
from accounts.admin.forms import SPARE, RoleForm, ScopeForm
from accounts.authentication import user_of
from accounts.authority import Right
from accounts.models import Role, Scope
from accounts.services import administration
from authsvc.console import ConsoleAdmin

admin.site.unregister(Group)


class RightsAdmin(ConsoleAdmin):
    """What roles and scopes have in common: services write and delete them."""

    def save_model(self, request: HttpRequest, obj: Role | Scope, form: Any, change: bool) -> None:
        """Store what was changed on the page."""
        if change:
            administration.change_row(row=obj, changes=form.changes(), actor=user_of(request))
        else:
            administration.create_row(row=obj, actor=user_of(request))

    def delete_model(self, request: HttpRequest, obj: Role | Scope) -> None:
        administration.delete_row(row=obj, actor=user_of(request))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """The same for many."""
        for row in queryset:
            self.delete_model(request, row)


class ScopeRows(PaginationInlineFormSet):
    """Rows that choose a scope; all have the choices of one query."""

    @cached_property
    def choices(self) -> list[tuple[Any, str]]:
        """The choices of each row."""
        return list(self.form.base_fields["scope"].choices)

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["scope"].widget.choices = self.choices


class ScopesOfRole(TabularInline):
    """The scopes that a role grants."""

    model = Scope.roles.through
    formset = ScopeRows
    extra = 0
    verbose_name, verbose_name_plural = "scope", "scopes that this role grants"

    def get_formset(self, request: HttpRequest, obj: Role | None = None, **kwargs: Any) -> Any:
        """Return the formset of the rows: no more than there are scopes, however many a request claims."""
        scopes = Scope.objects.count()
        return super().get_formset(request, obj, max_num=scopes, absolute_max=scopes + SPARE, **kwargs)


@admin.register(Role)
class RoleAdmin(RightsAdmin):
    """Roles: what a user is, and so what a user may do."""

    form = RoleForm
    fields = ("name", "permissions")
    list_display = ("name", "granted")
    search_fields = ("name",)
    inlines = (ScopesOfRole,)

    @admin.display(description="Scopes")
    def granted(self, role: Role) -> str:
        """The scopes of a role, in a line."""
        return " ".join(scope.name for scope in role.scopes.all()) or "-"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("scopes")

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> tuple[str, ...]:
        actor = user_of(request)
        permissions = () if authority.has(actor, Right.SET_PERMISSIONS) else ("permissions",)
        return (*permissions, *(("name",) if obj and not authority.has(actor, Right.NAME_ROLE, obj) else ()))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether an operator may change roles, and this one."""
        may: bool = super().has_change_permission(request, obj)
        return may and (not isinstance(obj, Group) or authority.has(user_of(request), Right.CHANGE_ROLE, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether an operator may delete roles, and this one."""
        may: bool = super().has_delete_permission(request, obj)
        return may and (not isinstance(obj, Group) or authority.has(user_of(request), Right.CHANGE_ROLE, obj))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Grant and revoke the permissions and scopes that the operator added and removed."""
        role, actor = form.instance, user_of(request)
        granted, revoked = form.edited("permissions")
        if granted or revoked:
            administration.change_permissions(of=role, grant=granted, revoke=revoked, actor=actor)
        for formset in formsets:
            added, removed = edited_scopes(formset)
            administration.change_scopes(role=role, grant=added, revoke=removed, actor=actor)


def edited_scopes(formset: Any) -> tuple[list[Scope], list[Scope]]:
    """Return the scopes that were added in the rows of a role's page, and those that were removed."""
    # What the admin's history of the page is made of; nothing is saved by the formset itself.
    formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
    added, removed = [], []
    for form in formset.forms:
        before = Scope.objects.filter(pk=form.initial.get("scope")).first() if form.instance.pk else None
        after = None if form in formset.deleted_forms or not form.has_changed() else form.cleaned_data.get("scope")
        if before is not None and (form in formset.deleted_forms or (after is not None and after != before)):
            removed.append(before)
        if after is not None and after != before:
            added.append(after)
    return sorted(added, key=str), sorted(removed, key=str)


@admin.register(Scope)
class ScopeAdmin(RightsAdmin):
    """The register of scopes. A name is fixed once given, since keys refer to it."""

    form = ScopeForm
    list_display = ("name", "description")
    search_fields = ("name", "description")

    def get_readonly_fields(self, request: HttpRequest, obj: Scope | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Add the scope to the roles that the operator added, and remove it from those removed."""
        scope, actor = form.instance, user_of(request)
        granted, revoked = form.edited("roles")
        for role in sorted(granted, key=str):
            administration.change_scopes(role=role, grant=[scope], actor=actor)
        for role in sorted(revoked, key=str):
            administration.change_scopes(role=role, revoke=[scope], actor=actor)
