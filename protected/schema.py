"""The OpenAPI descriptions of the routes under /protected."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers

from authsvc.api.openapi import example, problems


class UserGreeting(serializers.Serializer[Any]):
    """The response to a token."""

    message = serializers.CharField()
    user = serializers.CharField(help_text="Username.")
    auth_method = serializers.ChoiceField(["jwt"])


class ServiceGreeting(serializers.Serializer[Any]):
    """The response to a key."""

    message = serializers.CharField()
    service = serializers.CharField(help_text="The key's name.")
    auth_method = serializers.ChoiceField(["api_key"])


class Greeting(serializers.Serializer[Any]):
    """The response to either, with `user` or `service`."""

    message = serializers.CharField()
    user = serializers.CharField(required=False)
    service = serializers.CharField(required=False)
    auth_method = serializers.ChoiceField(["jwt", "api_key"])


USER = {"message": "Hello, alice.", "user": "alice", "auth_method": "jwt"}
SERVICE = {"message": "Hello, service nightly export.", "service": "nightly export", "auth_method": "api_key"}

for_users = extend_schema(
    operation_id="protectedUser",
    tags=["protected"],
    summary="For people",
    description="Looks at the bearer token only.",
    responses={200: UserGreeting},
    examples=[example(USER)],
)
for_services = extend_schema(
    operation_id="protectedService",
    tags=["protected"],
    summary="For services",
    description="Looks at the API key only.",
    responses={200: ServiceGreeting},
    examples=[example(SERVICE)],
)
for_both = extend_schema(
    operation_id="protectedAny",
    tags=["protected"],
    summary="For both",
    description="Takes either credential; the bearer token where both come.",
    responses={200: Greeting},
    examples=[example(USER)],
)
for_admins = extend_schema(
    operation_id="protectedAdmin",
    tags=["protected"],
    summary="For the role admin",
    description="Looks at the bearer token only; 403 without the role.",
    responses={200: UserGreeting, **problems(403)},
    examples=[example(USER)],
)
for_reports = extend_schema(
    operation_id="protectedReports",
    tags=["protected"],
    summary="For the scope reports:read",
    description="Takes either credential; 403 without the scope.",
    responses={200: Greeting, **problems(403)},
    examples=[example(SERVICE)],
)
