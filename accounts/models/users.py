"""Users, their names and addresses, passwords and grants."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Lower
from django.dispatch import Signal
from django.utils import timezone

from accounts.models.roles import role_names, scope_names
from accounts.names import fold
from audit import services as audit
from audit.events import Event
from authsvc import mailboxes

username_validator = RegexValidator(
    # The four Hangul fillers are letters that nobody sees.
    r"^(?:(?![\u115f\u1160\u3164\uffa0])[\w.+-])+\Z",
    "A username has letters, digits and the characters . _ + - only, and no @.",
    code="invalid",
)
NOT_AN_ADDRESS = "Enter a valid email address."
STAMP_BYTES = 16
# Sent with ``user`` when the password of an existing user has changed.
password_changed = Signal()


def new_stamp() -> str:
    return secrets.token_hex(STAMP_BYTES)


class UserQuerySet(QuerySet["User"]):
    """Finds users by username or address, and loads their grants."""

    def named(self, username: str) -> UserQuerySet:
        """Filter by username, in any case and Unicode form."""
        return self.alias(name_key=Lower("username")).filter(name_key=Lower(Value(fold(username))))

    def with_email(self, email: str) -> UserQuerySet:
        """Filter by mailbox, however its address is written. Empty for what is not an address."""
        try:
            address = mailboxes.normalize(email)
        except ValueError:
            return self.none()
        return self.alias(email_key=Lower("email")).filter(email_key=Lower(Value(address)))

    def known_as(self, name: str) -> UserQuerySet:
        """Filter by username or address; a username holds no @, so it is never both."""
        return self.with_email(name) if "@" in name else self.named(name)

    def with_grants(self, owner: str = "pk") -> UserQuerySet:
        """Annotate ``role_names`` and ``scope_names``, each space separated or NULL."""
        grants = {"role_names": role_names(owner), "scope_names": scope_names(owner)}
        return self.annotate(**grants)

    def first_with_grants(self) -> User | None:
        """Return the first user with roles and scopes set, or None."""
        user = self.with_grants().first()
        if user is not None:
            user.set_grants(user.scope_names, user.role_names)
        return user


class UserManager(BaseUserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]  # a class made at run time
    """Creates users with normalized usernames and addresses."""

    def create_user(self, username: str, email: str | None, password: str | None = None, **fields: Any) -> User:
        """Create a user, who without a password cannot log in.

        Raises IntegrityError for a duplicate name or address, ValueError for what is not an address.
        """
        address = mailboxes.normalize(email) if email else None
        user: User = self.model(username=fold(username), email=address, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, email: str, password: str | None = None, **fields: Any) -> User:
        """Create and record an operator with every permission in the console. Scopes come only from roles."""
        rights = {"is_staff": True, "is_superuser": True, "email_verified_at": timezone.now()}
        with transaction.atomic(using=self._db):
            user = self.create_user(username, email, password, **rights, **fields)
            audit.record(Event.USER_CREATED, subject=user, reason="operator")
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        """Return the user for Django's own login form: by name or address, as the API's login does."""
        user: User = self.known_as(username or "").get()
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who can log in, own keys and, with ``is_staff``, operate the service."""

    username = models.CharField(max_length=150, validators=[username_validator])
    # NULL for service accounts, which nobody writes to; NULLs do not collide in the unique index, "" would.
    email = models.EmailField("e-mail address", max_length=254, null=True, blank=True)  # noqa: DJ001
    is_active = models.BooleanField(
        "active", default=True, help_text="Without it nothing of this user works: no login, no token, no key."
    )
    is_staff = models.BooleanField("operator", default=False, help_text="May log in to this console.")
    is_service = models.BooleanField(
        "service account", default=False, editable=False, help_text="A program's account: owns keys, cannot log in."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    email_verified_at = models.DateTimeField("address confirmed", null=True, editable=False)
    # When the sign-up mailed a confirmation; NULL for accounts that were never asked to confirm their address.
    confirmation_sent_at = models.DateTimeField(null=True, editable=False)
    # A random value in every mailed link and console session: a new one voids them all. NULL from before the column.
    security_stamp = models.CharField(  # noqa: DJ001  NULL is what the column's rows had before it
        max_length=2 * STAMP_BYTES, null=True, default=new_stamp, editable=False
    )

    # What the user may do: annotated by UserQuerySet.with_grants, then set by set_grants().
    role_names: str | None
    scope_names: str | None
    roles: tuple[str, ...]
    scopes: frozenset[str]
    # Whether a new password is set and not yet saved.
    has_new_password = False
    # The columns as they were read or stored last; empty for an instance that the ORM has not read.
    loaded: Mapping[str, Any] = MappingProxyType({})

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["email"]

    class Meta:
        constraints = (
            models.UniqueConstraint(
                Lower("username"),
                name="accounts_user_username_unique",
                violation_error_code="unique",
                violation_error_message="This username is taken.",
            ),
            models.UniqueConstraint(
                Lower("email"),
                name="accounts_user_email_unique",
                violation_error_code="unique",
                violation_error_message="This e-mail address is taken.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.username} (service account)" if self.is_service else self.username

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        self.username, self.email = fold(self.username), self.email or None
        faults: dict[str, list[ValidationError]] = {}
        excluded = set(exclude or ())
        if self.email and "email" not in excluded:
            try:
                self.email = mailboxes.normalize(self.email)
            except ValueError:
                faults["email"] = [ValidationError(NOT_AN_ADDRESS, code="invalid")]
        try:
            super().clean_fields(excluded | faults.keys())
        except ValidationError as error:
            faults = error.update_error_dict(faults)
        if faults:
            raise ValidationError(faults)

    def check_password(self, raw_password: Any) -> bool:
        """Return whether this is the password, and rehash it where the cost has changed.

        Unlike Django's own, this does not overwrite a password that has changed since it was read.
        """

        def renew(password: str) -> None:
            renewed = make_password(password)
            if User.objects.filter(pk=self.pk, password=self.password).update(password=renewed):
                self.password = renewed

        return bool(check_password(raw_password, self.password, renew))

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(raw_password)
        self.has_new_password = True

    def get_session_auth_hash(self) -> str:
        """Return a hash of password and stamp; console sessions end when it changes."""
        return self._stamped(super().get_session_auth_hash())

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        yield from map(self._stamped, super().get_session_auth_fallback_hash())

    def _stamped(self, session_hash: str) -> str:
        if self.security_stamp is None:
            return session_hash
        # The session hash is keyed already, by SECRET_KEY or a fallback: a second key would end sessions at a rotation.
        return hashlib.sha256(f"{session_hash}{self.security_stamp}".encode()).hexdigest()

    def set_unusable_password(self) -> None:
        super().set_unusable_password()
        self.has_new_password = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> User:
        user = super().from_db(db, field_names, values, **options)
        user.loaded = dict(zip(field_names, values, strict=False))
        return user

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self.loaded = self._columns()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the user; a new password of an existing user is saved in one transaction with its effects.

        Together with a new password, and without ``update_fields``, only what was changed on this instance is written:
        Django's own forms and commands read a user, wait for a person to type, and save the whole row, which may have
        changed meanwhile.
        """
        fields = kwargs.get("update_fields")
        if self._state.adding or not self.has_new_password or (fields is not None and "password" not in fields):
            super().save(*args, **kwargs)
        else:
            with transaction.atomic():
                super().save(
                    *args, **{**kwargs, "update_fields": self._changed_columns() if fields is None else fields}
                )
                password_changed.send(sender=User, user=self)
            self.has_new_password = False
        self.loaded = self._columns()

    def _changed_columns(self) -> list[str]:
        """Return the password's column, and every other that differs from ``loaded``."""
        values, loaded = self._columns() if self.loaded else {}, self.loaded
        changed = {name for name, value in values.items() if name not in loaded or loaded[name] != value}
        return sorted(changed | {"password"})

    def _columns(self) -> dict[str, Any]:
        return {f.attname: vars(self)[f.attname] for f in self._meta.concrete_fields if f.attname in vars(self)}

    def set_grants(self, scope_names: str | None, role_names: str | None = None) -> None:
        """Set ``scopes`` and ``roles`` from space-separated names, as queries return them."""
        self.scopes = frozenset((scope_names or "").split())
        self.roles = tuple(sorted((role_names or "").split()))
