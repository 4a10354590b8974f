"""The bodies of /auth, in and out."""

from collections.abc import Mapping
from typing import Any

from django.core.validators import validate_email
from rest_framework import serializers

from accounts.models import Session, User
from accounts.models.users import NOT_AN_ADDRESS
from authsvc import mailboxes
from authsvc.api.fields import QueryIntegerField, StrictBooleanField, StrictCharField, StrictSerializer

PASSWORD = "At least 8 characters, not common, not all digits."  # noqa: S105  a sentence about passwords

KEEP_KEYS = (
    "Whether the API keys stay that were made before the address was confirmed, perhaps by somebody else. By default "
    "they stay if it was confirmed, and are revoked if not; `true` is then refused, but for accounts that were never "
    "asked to confirm it."
)


class SignupRequest(StrictSerializer):
    """What somebody signs up with; the names are checked by the model, the password by Django's validators."""

    email = StrictCharField(max_length=254, help_text="Unique whatever its case.")
    username = StrictCharField(
        max_length=150, help_text="Letters, digits and `. _ + -`; unique whatever its case and Unicode form."
    )
    password = StrictCharField(max_length=1024, trim_whitespace=False, help_text=PASSWORD)


LOGIN_NAME = "Username or e-mail address, in any case."


class LoginRequest(StrictSerializer):
    """``username`` or ``email``, each of which takes a name or an address, and the password."""

    username = StrictCharField(max_length=254, help_text=LOGIN_NAME)
    email = StrictCharField(max_length=254, required=False, help_text=LOGIN_NAME)
    password = StrictCharField(max_length=1024, trim_whitespace=False)

    def to_internal_value(self, data: Any) -> Any:
        """Return ``username`` and ``password``, whichever of the two fields was sent."""
        if isinstance(data, Mapping) and "email" in data:
            self.fields["username"].required = False
        found = super().to_internal_value(data)
        if "email" in found and "username" in found:
            message = "Send username or email, not both."
            raise serializers.ValidationError({"email": message}, code="exclusive")
        return {"username": found.get("username", found.get("email")), "password": found["password"]}


class LoginByUsername(StrictSerializer):
    """A login in the document, which cannot say otherwise that exactly one of two fields is required."""

    username = StrictCharField(max_length=254, help_text=LOGIN_NAME)
    password = StrictCharField(max_length=1024, trim_whitespace=False)


class LoginByEmail(StrictSerializer):
    """The same with ``email``."""

    email = StrictCharField(max_length=254, help_text=LOGIN_NAME)
    password = StrictCharField(max_length=1024, trim_whitespace=False)


class LoginResponse(serializers.Serializer[Any]):
    """RFC 6749, section 5.1."""

    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(["bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds that the access token lives.")
    refresh_token = serializers.CharField()


class RefreshRequest(StrictSerializer):
    """A refresh token."""

    refresh_token = StrictCharField()


class PasswordRequest(StrictSerializer):
    """The password in force, and the one that is to be."""

    current_password = StrictCharField(max_length=1024, trim_whitespace=False)
    new_password = StrictCharField(max_length=1024, trim_whitespace=False, help_text=PASSWORD)


def validate_mailbox(address: str) -> None:
    """Raise ValidationError for what cannot be mailed to as it was typed."""
    validate_email(address)
    try:
        mailboxes.normalize(address)
    except ValueError as error:
        raise serializers.ValidationError(NOT_AN_ADDRESS, code="invalid") from error


class AddressRequest(StrictSerializer):
    """Whom a mail is asked for."""

    email = StrictCharField(max_length=254, validators=[validate_mailbox], help_text="In any case.")


class ResetRequest(StrictSerializer):
    """The token from the mail, and the password that is to be."""

    token = StrictCharField()
    new_password = StrictCharField(max_length=1024, trim_whitespace=False, help_text=PASSWORD)
    keep_keys = StrictBooleanField(required=False, help_text=KEEP_KEYS)


class TokenRequest(StrictSerializer):
    """The token from the mail."""

    token = StrictCharField()


class AcceptedResponse(serializers.Serializer[Any]):
    """The same for everybody."""

    status = serializers.ChoiceField(["accepted"])


class ListSessionsQuery(serializers.Serializer[Any]):
    """The query string of GET /auth/sessions."""

    limit = QueryIntegerField(min_value=1, max_value=100, default=100, help_text="Sessions on a page.")
    cursor = serializers.CharField(required=False, help_text="From the `Link` header of the page before.")


class SessionResponse(serializers.Serializer[Session]):
    """A session that lives."""

    id = serializers.IntegerField()
    device = serializers.CharField(help_text="What the client called itself when it last logged in or refreshed.")
    address = serializers.IPAddressField(allow_null=True, help_text="Where from.")
    created_at = serializers.DateTimeField(help_text="The login.")
    last_used_at = serializers.DateTimeField(help_text="To the minute.")
    expires_at = serializers.DateTimeField(help_text="The end, which no refresh puts off.")
    current = serializers.SerializerMethodField(help_text="Whether this request belongs to it.")

    def get_current(self, session: Session) -> bool:
        """Say whether it is the one that asks."""
        return bool(session.pk == self.context["current"].pk)


class UserResponse(serializers.Serializer[User]):
    """A user as others may see it."""

    id = serializers.IntegerField()
    email = serializers.EmailField(allow_null=True)
    username = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()


class MeResponse(serializers.Serializer[User]):
    """Who the bearer is and what it may do, at this moment."""

    id = serializers.IntegerField()
    email = serializers.EmailField()
    username = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())
    scopes = serializers.SerializerMethodField()

    def get_scopes(self, user: User) -> list[str]:
        """Return the union over the user's roles."""
        return sorted(user.scopes)
