"""The views of /keys. Users see only their own keys."""

from types import MappingProxyType
from typing import Any

from django.http import Http404
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from accounts.authentication import JWTAuthentication, session_of, user_of
from accounts.permissions import IsPerson
from apikeys import leaks, queries, schema, serializers, services, usage
from apikeys.authentication import APIKeyAuthentication
from apikeys.models import APIKey, Secret
from apikeys.permissions import IsService
from authsvc.api.fields import parse, parse_query
from authsvc.api.pagination import link_to, page
from authsvc.api.throttling import limit_address
from authsvc.api.views import ApiView, Response

REPORTS_A_MINUTE = "30/minute"  # from one address, unless GitHub has signed them


class KeyIsRevoked(APIException):
    """409: a revoked key cannot be changed."""

    status_code = 409
    default_detail = "The key is revoked and cannot be changed."


class OwnKeysView(ApiView):
    """The base of the views of the caller's own keys."""

    authentication_classes: tuple[Any, ...] = (JWTAuthentication,)
    permission_classes: tuple[Any, ...] = (IsPerson,)

    def own_key(self, key_id: int) -> APIKey:
        """Return a key of the caller. Raises Http404, also for another user's key."""
        key = queries.keys_of(user_of(self.request)).filter(pk=key_id).first()
        if key is None:
            raise Http404
        return key


class CreateKeyView(OwnKeysView):
    """Issue a key."""

    @schema.create_key
    def post(self, request: Request) -> Response:
        user, asked = user_of(request), parse(serializers.CreateKeyRequest, request)
        key, plaintext = services.issue_key(owner=user, actor=user, session=session_of(request), **asked)
        return Response(serializers.new_key(key, plaintext), status=201, headers={"Cache-Control": "no-store"})


class KeysView(CreateKeyView):
    """List keys, or issue one."""

    query_serializers = MappingProxyType({"GET": serializers.ListKeysQuery})

    @schema.create_key_too
    def post(self, request: Request) -> Response:
        return super().post(request)

    @schema.list_keys
    def get(self, request: Request) -> Response:
        query = parse_query(serializers.ListKeysQuery, request)
        keys = queries.keys_of(user_of(request))
        if "status" in query:
            keys = keys.with_status(query["status"], timezone.now())
        found, cursor = page(keys, limit=query["limit"], cursor=query.get("cursor"))
        headers = {"Link": link_to(request, cursor)} if cursor else {}
        return Response([serializers.KeyResponse(key).data for key in found], headers=headers)


class KeyView(OwnKeysView):
    """One key."""

    @schema.read_key
    def get(self, request: Request, key_id: int) -> Response:
        return Response(serializers.KeyResponse(self.own_key(key_id)).data)

    @schema.change_key
    def patch(self, request: Request, key_id: int) -> Response:
        key, user = self.own_key(key_id), user_of(request)
        if not services.change_key(key=key, owner=user, actor=user, **parse(serializers.ChangeKeyRequest, request)):
            raise KeyIsRevoked
        return Response(serializers.KeyResponse(key).data)

    @schema.revoke_key
    def delete(self, request: Request, key_id: int) -> Response:
        services.revoke_key(key=self.own_key(key_id), actor=user_of(request))
        return Response(status=204)


class RotateKeyView(OwnKeysView):
    """Replace a key's secret: the owner does, or the key itself."""

    authentication_classes = (JWTAuthentication, APIKeyAuthentication)
    permission_classes = (IsPerson | IsService,)

    @schema.rotate_key
    def post(self, request: Request, key_id: int) -> Response:
        key = self.own_key(key_id)
        used = own_secret(request.auth, key_id) if isinstance(request.auth, APIKey) else None
        asked = parse(serializers.RotateKeyRequest, request)
        asked["retire_on_first_use"] = asked.pop("retire_old") == "on_first_use"
        plaintext = services.rotate_key(key=key, actor=user_of(request), used=used, **asked)
        if plaintext is None:
            raise KeyIsRevoked
        return Response(serializers.new_key(key, plaintext), status=201, headers={"Cache-Control": "no-store"})


def own_secret(used: APIKey, key_id: int) -> Secret:
    """Return the secret with which a key rotates itself. Raises Http404 for another key.

    The service checks whether it is the current secret, since it holds the lock.
    """
    if used.pk != key_id:
        raise Http404
    return used.secret


class KeyUsageView(OwnKeysView):
    """How a key is used."""

    query_serializers = MappingProxyType({"GET": serializers.UsageQuery})

    @schema.key_usage
    def get(self, request: Request, key_id: int) -> Response:
        key, days = self.own_key(key_id), parse_query(serializers.UsageQuery, request)["days"]
        usage.flush()
        return Response(serializers.UsageResponse(queries.usage_of(key, days=days, now=timezone.now())).data)


class ReportView(ApiView):
    """Take reports of leaked keys."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @schema.report_keys
    def post(self, request: Request) -> Response:
        signed = leaks.is_signed(request.body, request.headers)
        if not signed:  # GitHub sends many reports from few addresses
            limit_address(REPORTS_A_MINUTE, "report")
        for leak in leaks.read_report(request.data, signed=signed):
            leaks.revoke_leaked(leak)
        return Response({"status": "accepted"}, status=202)
