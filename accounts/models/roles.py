"""What people may do: roles (Django's groups) and the scopes that roles grant."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, OuterRef, QuerySet, Subquery

scope_validator = RegexValidator(
    r"^[a-z][a-z0-9_.-]*:[a-z][a-z0-9_.-]*\Z", "A scope is written resource:action, in lower case.", code="invalid"
)
role_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9_.:-]*\Z", "A role has letters, digits and the characters . _ : - only.", code="invalid"
)


ROLE_LENGTH = 150  # characters, as Django's groups have them


class SpaceSeparated(models.Aggregate):
    """Names joined by spaces, as OAuth writes a scope (RFC 6749, section 3.3); NULL for none."""

    function = "string_agg"
    template = "%(function)s(%(distinct)s%(expressions)s, ' ')"
    output_field = models.TextField()
    allow_distinct = True

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # GROUP_CONCAT takes no separator beside DISTINCT, so the commas become spaces; no name holds either.
        template = "REPLACE(GROUP_CONCAT(%(distinct)s%(expressions)s), ',', ' ')"
        return self.as_sql(compiler, connection, template=template, **context)


class Scope(models.Model):
    """One thing that a credential may do, ``resource:action``; this table is the register of those that exist."""

    name = models.CharField(max_length=100, unique=True, validators=[scope_validator])
    description = models.CharField(max_length=200)
    roles = models.ManyToManyField(Group, related_name="scopes", blank=True, help_text="The roles that grant it.")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Role(Group):
    """A Django group under its name here: users have roles, roles grant scopes."""

    class Meta:
        proxy = True

    def clean(self) -> None:
        if len(self.name) > ROLE_LENGTH:
            raise ValidationError(f"A role has at most {ROLE_LENGTH} characters.", code="max_length")
        role_validator(self.name)


def role_names(owner: str) -> Subquery:
    """Return the subquery for the roles of the user whose id the outer query calls ``owner``."""
    return names_through_groups("group__name", owner)


def scope_names(owner: str) -> Subquery:
    """Return the subquery for the scopes that the roles of a user grant: their union, each named once."""
    return names_through_groups("group__scopes__name", owner)


def names_through_groups(path: str, owner: str) -> Subquery:
    """Return the subquery that joins what a user's memberships lead to; NULL where they lead to nothing."""
    memberships: QuerySet[Any] = (
        get_user_model().groups.through.objects.filter(user=OuterRef(owner)).order_by().values("user")
    )
    names = memberships.annotate(names=SpaceSeparated(F(path), distinct=True))
    return Subquery(names.values("names"))
