"""The request and response bodies of the gateway."""

from typing import Any

from rest_framework import serializers

from authsvc.api.fields import BoundedListField, StrictCharField, StrictRegexField, StrictSerializer
from authsvc.api.openapi import OAuthForm
from gateway.exchange import ACCESS_TOKEN

MAX_TOKENS = 100


AUDIENCE = "An audience has 1 to 200 printable ASCII characters and no spaces."


class OpaqueField(StrictCharField):
    """A text exactly as it was sent: junk is an inactive token, not an error that fails a batch."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_blank=True, trim_whitespace=False, **options)
        self.validators = []


class IntrospectRequest(StrictSerializer):
    """RFC 7662, section 2.1, or a batch as JSON."""

    token = OpaqueField(required=False, help_text="A token or an API key.")
    token_type_hint = OpaqueField(required=False, help_text="Accepted and not needed.")
    tokens = BoundedListField(
        child=OpaqueField(),
        required=False,
        max_length=MAX_TOKENS,
        help_text=f"Up to {MAX_TOKENS} of them, instead of `token`.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Require exactly one of the two."""
        if "token" in attrs and "tokens" in attrs:
            message = "Send token or tokens, not both."
            raise serializers.ValidationError({"token": [message]}, code="exclusive")
        if not attrs.keys() & {"token", "tokens"}:
            message = "Send token or tokens."
            raise serializers.ValidationError({"token": [message]}, code="required")
        return attrs


class IntrospectForm(OAuthForm):
    """The form of RFC 7662, in the document."""

    token = serializers.CharField(help_text="A token or an API key.")
    client_id = serializers.CharField(required=False, help_text="The key's id, where no header has a credential.")
    client_secret = serializers.CharField(required=False, help_text="The key.")
    token_type_hint = serializers.CharField(required=False, help_text="Accepted and not needed.")


class IntrospectResponse(serializers.Serializer[Any]):
    """RFC 7662, section 2.2: `active` alone where it is false."""

    active = serializers.BooleanField()
    scope = serializers.CharField(required=False, help_text="Its scopes at this moment, space separated.")
    client_id = serializers.CharField(required=False, help_text="The id of the key.")
    username = serializers.CharField(required=False)
    token_type = serializers.ChoiceField(["bearer", "refresh_token", "api_key"], required=False)
    exp = serializers.IntegerField(required=False)
    iat = serializers.IntegerField(required=False)
    sub = serializers.CharField(required=False, help_text="The id of the user.")
    aud = serializers.CharField(required=False)
    iss = serializers.CharField(required=False)
    jti = serializers.CharField(required=False)


class ExchangeRequest(StrictSerializer):
    """What to narrow the token to."""

    scope = StrictCharField(
        required=False, allow_blank=True, max_length=10_000, help_text="A part of the key's scopes; all when absent."
    )
    audience = StrictRegexField(
        r"^[!-~]{1,200}\Z", AUDIENCE, required=False, help_text="The service that the token is for (`aud`)."
    )


class ExchangeForm(OAuthForm):
    """OAuth's forms, in the document (RFC 6749, section 4.4.2; RFC 8693, section 2.1)."""

    grant_type = serializers.ChoiceField(["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"])
    scope = serializers.CharField(required=False, help_text="A part of the key's scopes; all when absent.")
    audience = StrictRegexField(
        r"^[!-~]{0,200}\Z", AUDIENCE, required=False, help_text="The service that the token is for (`aud`)."
    )
    client_id = serializers.CharField(required=False, help_text="The key's id, where HTTP Basic does not say it.")
    client_secret = serializers.CharField(required=False, help_text="The key, with `client_credentials`.")
    subject_token = serializers.CharField(required=False, help_text="The key, with a token exchange.")
    subject_token_type = serializers.CharField(required=False, help_text=f"`{ACCESS_TOKEN}`, or absent.")
    requested_token_type = serializers.CharField(required=False, help_text=f"`{ACCESS_TOKEN}`, or absent.")


class ExchangeResponse(serializers.Serializer[Any]):
    """RFC 6749, section 5.1."""

    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(["bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds, 300 at most.")
    scope = serializers.CharField()
    issued_token_type = serializers.CharField(required=False, help_text="With the grant of RFC 8693.")
