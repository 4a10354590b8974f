"""Forms of the console that hand over what an operator changed on a page, and nothing that others changed meanwhile."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import TooManyFieldsSent, ValidationError
from django.forms import ModelForm, ModelMultipleChoiceField
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import Role, Scope, User
from accounts.services import passwords
from authsvc.ids import parse_id

SPARE = 10  # values of a field beyond the rows that there are: some may have been deleted while the page was open


class EditForm:
    """Compares what is posted with the page as it was opened, whose values come along as ``initial-`` fields.

    These can be forged: they only choose what is handed to a service, which compares it with the database.
    """

    fields: Any  # as in Django's form, which this is mixed into
    data: Any
    cleaned_data: dict[str, Any]
    instance: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in (field for name, field in self.fields.items() if name != "password"):
            field.show_hidden_initial = True
        for name, field in self.fields.items():
            if isinstance(field, ModelMultipleChoiceField):
                self._refuse_too_many(name, field)

    def _refuse_too_many(self, name: str, field: Any) -> None:
        """Raise TooManyFieldsSent, a 400, for more values of a field than a page of ours sends: each takes its time."""
        bound = self[name]  # type: ignore[index]  # of Django's form
        sent = max(len(self.data.getlist(key)) for key in (bound.html_name, bound.html_initial_name))
        if sent > SPARE and sent > field.queryset.count() + SPARE:
            raise TooManyFieldsSent(f"{sent} values of {name}")

    def changes(self) -> dict[str, Any]:
        """Return the columns that were changed on the page, with their new values."""
        columns = {field.name for field in self.instance._meta.concrete_fields}
        return {name: self.cleaned_data[name] for name in self.changed_data if name in columns}  # type: ignore[attr-defined]  # of Django's form

    def edited(self, name: str) -> tuple[list[Any], list[Any]]:
        """Return what was added to a field of many choices, and what was removed from it, on the page."""
        field = self.fields.get(name)
        if field is None or name not in self.cleaned_data:
            return [], []
        posted, opened = {row.pk: row for row in self.cleaned_data[name]}, self._opened(name)
        removed = field.queryset.filter(pk__in=opened - posted.keys())
        return [row for pk, row in posted.items() if pk not in opened], list(removed)

    def _opened(self, name: str) -> set[int]:
        """Return the ids that the page was opened with; a field without choices leaves no ``initial-`` field."""
        bound = self[name]  # type: ignore[index]  # of Django's form
        is_our_page = any(key.startswith("initial-") for key in self.data)
        if not is_our_page:
            stored = getattr(self.instance, name) if self.instance.pk else None
            return set(stored.values_list("pk", flat=True)) if stored and name in self.data else set()
        return {pk for pk in map(parse_id, self.data.getlist(bound.html_initial_name)) if pk is not None}


class UserForm(EditForm, UserChangeForm):
    """A user without the password, which has a form of its own."""

    class Meta:
        model = User
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "email" in self.fields:  # an operator who may only look has no fields at all
            self.fields["email"].required = not self.instance.is_service


class RoleForm(EditForm, ModelForm):
    """A role: its name and its permissions."""

    class Meta:
        model = Role
        fields = ("name", "permissions")


class ScopeForm(EditForm, ModelForm):
    """A scope: its name, what it means, and the roles that grant it."""

    class Meta:
        model = Scope
        fields = ("name", "description", "roles")


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
