"""The request and response bodies of /keys. They check types; validators.py has the rules, which commands share."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apikeys.models import APIKey, Status
from apikeys.validators import MAX_NETWORKS, MAX_OVERLAP
from authsvc.api.fields import (
    BoundedChoiceField,
    BoundedListField,
    QueryIntegerField,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)

NAME = "1 to 100 characters without control characters; surrounding whitespace is removed."
SCOPES = "The scopes of the key, each of which its owner has. Without `scopes` the key has none."
ADDRESSES = "Addresses and networks (CIDR) that the key may be used from. Empty: any."
RATE_LIMIT = "As `100/minute`, or several as `10/second; 1000/hour`; null for none."
LIFE = "1 to API_KEY_MAX_EXPIRE_DAYS. Default: API_KEY_EXPIRE_DAYS, or at a rotation the lifetime that the key had."
OVERLAP = "Seconds that the outgoing secret still works: 0 to 2592000 (30 days), default 86400."
METADATA = "A JSON object of yours, at most 4 kB."


class ScopeField(StrictCharField):
    """Any text: validators.clean_scopes validates the whole list."""

    def __init__(self) -> None:
        super().__init__(allow_blank=True)

    def run_validators(self, value: Any) -> None:
        """Skip DRF's own, whose errors would name single items."""


_LIMIT = r" *[1-9][0-9]{0,6} ?/ ?(second|minute|hour|day) *"


@extend_schema_field(
    {
        "type": "string",
        "maxLength": 100,
        "pattern": f"^({_LIMIT}(;{_LIMIT}){{0,3}})?$",
        "description": RATE_LIMIT,
    }
)
class RateLimitField(StrictCharField):
    """Limits as they are written, which validators.py checks."""


@extend_schema_field({"type": "integer", "minimum": 1, "description": LIFE})
class LifeField(StrictIntegerField):
    """Days that a key lives, which validators.py checks."""


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": MAX_OVERLAP, "description": OVERLAP})
class OverlapField(StrictIntegerField):
    """Seconds that an outgoing secret works, which validators.py checks."""


class KeyFields(StrictSerializer):
    """The fields of a new key that can be changed later."""

    scopes = BoundedListField(child=ScopeField(), max_length=1000, required=False, help_text=SCOPES)
    allowed_ips = BoundedListField(
        child=StrictCharField(max_length=100), max_length=MAX_NETWORKS, required=False, help_text=ADDRESSES
    )
    rate_limit = RateLimitField(max_length=100, required=False, allow_null=True, allow_blank=True)
    metadata = serializers.DictField(required=False, help_text=METADATA)


class CreateKeyRequest(KeyFields):
    """A new key."""

    name = StrictCharField(allow_blank=True, help_text=NAME)
    expires_in_days = LifeField(required=False)


class ChangeKeyRequest(KeyFields):
    """Changes of a key; absent fields keep their values."""

    name = StrictCharField(allow_blank=True, required=False, help_text=NAME)
    is_enabled = StrictBooleanField(required=False, help_text="A key is rejected while this is false.")


class RotateKeyRequest(StrictSerializer):
    """How the outgoing secret ends, and how long the key lives from now on."""

    overlap_seconds = OverlapField(required=False)
    retire_old = BoundedChoiceField(
        ["after_overlap", "on_first_use"],
        default="after_overlap",
        help_text="`on_first_use`: the outgoing secret ends once the new one is used, at the latest after the overlap.",
    )
    expires_in_days = LifeField(required=False)


class ListKeysQuery(serializers.Serializer[Any]):
    """The query string of GET /keys."""

    limit = QueryIntegerField(min_value=1, max_value=100, default=100, help_text="Keys on a page.")
    cursor = serializers.CharField(required=False, help_text="From the `Link` header of the page before.")
    status = BoundedChoiceField(Status.choices, required=False)


class UsageQuery(serializers.Serializer[Any]):
    """The query string of GET /keys/{id}/usage."""

    days = QueryIntegerField(min_value=1, max_value=366, default=30, help_text="Days back, today included.")


class KeyResponse(serializers.Serializer[APIKey]):
    """A key without its secret."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The key's first characters, to recognise it by.")
    scopes = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(Status.choices)
    is_enabled = serializers.BooleanField()
    is_revoked = serializers.BooleanField()
    allowed_ips = serializers.ListField(child=serializers.CharField(), source="addresses")
    rate_limit = serializers.SerializerMethodField()
    metadata = serializers.DictField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")

    def get_rate_limit(self, key: APIKey) -> str | None:
        """Return the limits, or None for none."""
        return key.rate_limit or None


class NewKeyResponse(KeyResponse):
    """A new key with its plaintext."""

    key = serializers.CharField(help_text="The API key itself. Keep it: it is not stored and never shown again.")


class ReportRequest(StrictSerializer):
    """A leaked key, reported by anybody who holds it."""

    key = serializers.CharField(allow_blank=True)


class ReportResponse(serializers.Serializer[Any]):
    """The same for known and unknown keys."""

    status = serializers.ChoiceField(["accepted"])


class UsageDay(serializers.Serializer[Any]):
    """One day's uses, by how they ended."""

    day = serializers.DateField()
    ok = serializers.IntegerField()
    expired = serializers.IntegerField()
    revoked = serializers.IntegerField()
    disabled = serializers.IntegerField()
    scope = serializers.IntegerField()
    limited = serializers.IntegerField()
    address = serializers.IntegerField()


class OutgoingSecret(serializers.Serializer[Any]):
    """A secret that a rotation has replaced and that still works."""

    prefix = serializers.CharField()
    retires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    last_used_address = serializers.IPAddressField(allow_null=True)


class UsageResponse(serializers.Serializer[Any]):
    """How a key is used."""

    last_used_at = serializers.DateTimeField(allow_null=True)
    last_used_address = serializers.IPAddressField(allow_null=True)
    outgoing_secret = OutgoingSecret(allow_null=True)
    days = UsageDay(many=True)


def new_key(key: APIKey, plaintext: str) -> dict[str, Any]:
    """Return the 201 body: the key's representation and its plaintext."""
    return {**KeyResponse(key).data, "key": plaintext}
