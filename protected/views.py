"""How to protect a view: declare the credentials that it accepts and the permissions that it requires."""

from rest_framework.request import Request

from accounts.authentication import JWTAuthentication
from accounts.permissions import HasRole, HasScope, IsUser
from apikeys.authentication import APIKeyAuthentication
from apikeys.models import APIKey
from apikeys.permissions import IsService
from authsvc.api.views import ApiView, Response
from protected import schema


class UserView(ApiView):
    """For people: an access token."""

    authentication_classes = (JWTAuthentication,)
    permission_classes = (IsUser,)

    @schema.for_users
    def get(self, request: Request) -> Response:
        return Response(greeting(request))


class ServiceView(ApiView):
    """For programs: an API key."""

    authentication_classes = (APIKeyAuthentication,)
    permission_classes = (IsService,)

    @schema.for_services
    def get(self, request: Request) -> Response:
        return Response(greeting(request))


class AnyView(ApiView):
    """For both. With both credentials the token counts, because its authenticator comes first."""

    authentication_classes = (JWTAuthentication, APIKeyAuthentication)
    permission_classes = (IsUser | IsService,)

    @schema.for_both
    def get(self, request: Request) -> Response:
        return Response(greeting(request))


class AdminView(ApiView):
    """For people with the role admin. A key has scopes and never its owner's roles."""

    authentication_classes = (JWTAuthentication,)
    permission_classes = (IsUser & HasRole("admin"),)

    @schema.for_admins
    def get(self, request: Request) -> Response:
        return Response(greeting(request))


class ReportsView(ApiView):
    """For either credential with the scope reports:read."""

    authentication_classes = (JWTAuthentication, APIKeyAuthentication)
    permission_classes = (HasScope("reports:read"),)

    @schema.for_reports
    def get(self, request: Request) -> Response:
        return Response(greeting(request))


def greeting(request: Request) -> dict[str, str]:
    if isinstance(request.auth, APIKey):
        name = request.auth.name
        return {"message": f"Hello, service {name}.", "service": name, "auth_method": "api_key"}
    name = request.user.get_username()
    return {"message": f"Hello, {name}.", "user": name, "auth_method": "jwt"}
