"""The operator's view of roles and scopes."""

from __future__ import annotations

from typing import Any

import django.contrib.auth.admin  # noqa: F401  it registers Group, which Role replaces
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import transaction
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from accounts.authentication import user_of
from accounts.models import Role, Scope
from audit import services as audit
from audit.events import Event
from authsvc.console import Searchable

admin.site.unregister(Group)


class Grants:
    """Records what changes between roles and scopes, from whichever side they are edited."""

    def save_related(self, request: HttpRequest, form: ModelForm[Any], formsets: Any, change: bool) -> None:
        """Store which scopes which roles grant, and record each difference as a change of the role."""
        before = granted(form.instance)
        super().save_related(request, form, formsets, change)  # type: ignore[misc]  # the admin mixed into has it
        after = granted(form.instance)
        groups = Group.objects.in_bulk({group for group, _ in before ^ after})
        for verb, pairs in (("grants", after - before), ("no longer grants", before - after)):
            for group, scope in sorted(pairs):
                reason = f"{groups[group].name} {verb} {scope}"
                audit.record(Event.ROLE_CHANGED, actor=user_of(request), subject=groups[group], reason=reason)

    def save_model(self, request: HttpRequest, obj: Role | Scope, form: ModelForm[Any], change: bool) -> None:
        """Store what was changed, and record it."""
        columns = {field.name for field in obj._meta.concrete_fields}
        changed = [name for name in form.changed_data if name in columns]
        obj.save(**({"update_fields": changed} if change else {"force_insert": True}))
        if changed := [*changed, *({"permissions"} & set(form.changed_data))]:
            kind = Event.SCOPE_CHANGED if isinstance(obj, Scope) else Event.ROLE_CHANGED
            audit.record(kind, actor=user_of(request), subject=obj, reason=" ".join(changed))

    def delete_model(self, request: HttpRequest, obj: Role | Scope) -> None:
        """Delete a role or scope, and record it: whoever had it has it no more."""
        kind = Event.SCOPE_DELETED if isinstance(obj, Scope) else Event.ROLE_DELETED
        audit.record(kind, actor=user_of(request), subject=obj)
        obj.delete()

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """The same for many."""
        for row in queryset:
            self.delete_model(request, row)


def granted(edited: Role | Scope) -> set[tuple[int, str]]:
    """Return (id of the role, name of the scope) for what a role grants, or for the roles that grant a scope."""
    of = {"scope": edited.pk} if isinstance(edited, Scope) else {"group": edited.pk}
    return set(Scope.roles.through.objects.filter(**of).values_list("group_id", "scope__name"))


class ScopesOfRole(TabularInline):
    """The scopes that a role grants."""

    model = Scope.roles.through
    extra = 0
    verbose_name, verbose_name_plural = "scope", "scopes that this role grants"


@admin.register(Role)
class RoleAdmin(Searchable, Grants, ModelAdmin):
    """Roles: what a user is, and so what a user may do."""

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


@admin.register(Scope)
class ScopeAdmin(Searchable, Grants, ModelAdmin):
    """The register of scopes. A name is fixed once given, since keys refer to it."""

    list_display = ("name", "description")
    search_fields = ("name", "description")

    def get_readonly_fields(self, request: HttpRequest, obj: Scope | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()
