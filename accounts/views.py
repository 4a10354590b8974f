"""The views of /auth."""

from collections.abc import Callable
from types import MappingProxyType

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts import queries, schema, serializers
from accounts.authentication import JWTAuthentication, session_of, user_of
from accounts.jwt import keyring
from accounts.jwt.tokens import TokenPair
from accounts.models import Session
from accounts.permissions import IsPerson, IsUser
from accounts.services import login, mail_links, passwords, registration, sessions
from authsvc.api.fields import parse, parse_query
from authsvc.api.pagination import link_to, page
from authsvc.api.throttling import limit_address
from authsvc.api.views import ApiView, Response, without_parameters
from authsvc.problems import reading_only


class SignupIsOpen(BasePermission):
    """Whether SIGNUP_ENABLED lets people sign up."""

    message = "Sign-up is closed here; ask the operator for an account."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(settings.SIGNUP_ENABLED)


class SignupView(ApiView):
    """Make a user."""

    authentication_classes = ()
    permission_classes = (SignupIsOpen,)

    @schema.signup
    def post(self, request: Request) -> Response:
        asked = parse(serializers.SignupRequest, request)
        limit_address(settings.SIGNUP_RATE, "signup")
        user = registration.sign_up(**asked)
        return Response(serializers.UserResponse(user).data, status=201)


class LoginView(ApiView):
    """Exchange a password for tokens."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @schema.login
    def post(self, request: Request) -> Response:
        asked = parse(serializers.LoginRequest, request)
        limit_address(settings.LOGIN_RATE, "login")
        return tokens(login.log_in(**asked))


class RefreshView(ApiView):
    """Exchange a refresh token for a new pair."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @schema.refresh
    def post(self, request: Request) -> Response:
        asked = parse(serializers.RefreshRequest, request)
        return tokens(sessions.refresh(encoded=asked["refresh_token"]))


class LogoutView(ApiView):
    """End the session of a refresh token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @schema.logout
    def post(self, request: Request) -> Response:
        sessions.log_out(encoded=parse(serializers.RefreshRequest, request)["refresh_token"])
        return Response(status=204)


class AccountView(ApiView):
    """A view of the bearer's own account."""

    authentication_classes = (JWTAuthentication,)
    permission_classes = (IsPerson,)


class SessionsView(AccountView):
    """The bearer's sessions: list them, or end all."""

    query_serializers = MappingProxyType({"GET": serializers.ListSessionsQuery})

    @schema.list_sessions
    def get(self, request: Request) -> Response:
        query = parse_query(serializers.ListSessionsQuery, request)
        own = queries.sessions_of(user_of(request), timezone.now())
        found, cursor = page(own, limit=query["limit"], cursor=query.get("cursor"))
        context = {"current": session_of(request)}
        body = [serializers.SessionResponse(session, context=context).data for session in found]
        return Response(body, headers={"Link": link_to(request, cursor)} if cursor else {})

    @schema.end_sessions
    def delete(self, request: Request) -> Response:
        sessions.end_everywhere(user=user_of(request), reason="ended by its user", actor=user_of(request))
        return Response(status=204)


class SessionView(AccountView):
    """One of the bearer's sessions."""

    @schema.end_session
    def delete(self, request: Request, session_id: int) -> Response:
        session = Session.objects.select_related("user").filter(user=user_of(request), pk=session_id).first()
        if session is None:
            raise Http404
        sessions.end(session=session, reason="ended by its user", actor=user_of(request))
        return Response(status=204)


class PasswordView(AccountView):
    """Change the bearer's password."""

    @schema.change_password
    def post(self, request: Request) -> Response:
        asked = parse(serializers.PasswordRequest, request)
        passwords.change(user=user_of(request), session=session_of(request), **asked)
        return Response(status=204)


class MailView(ApiView):
    """Request a mail. The response is the same for every address."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def ask(self, request: Request, send: Callable[..., None]) -> Response:
        """Call ``send`` with the body's address. Raises RateLimited."""
        asked = parse(serializers.AddressRequest, request)
        limit_address(settings.MAIL_RATE, "mail")
        send(**asked)
        return Response({"status": "accepted"}, status=202)


class ResetView(MailView):
    """Ask for a mail that lets its reader set a new password."""

    @schema.ask_reset
    def post(self, request: Request) -> Response:
        return self.ask(request, mail_links.request_password_reset)


class VerificationView(MailView):
    """Ask for a mail that confirms an address."""

    @schema.ask_verification
    def post(self, request: Request) -> Response:
        return self.ask(request, mail_links.request_email_confirmation)


class ResetConfirmView(ApiView):
    """Set a new password by the token from the mail."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @schema.reset
    def post(self, request: Request) -> Response:
        mail_links.reset_password(**parse(serializers.ResetRequest, request))
        return Response(status=204)


class VerifyView(ApiView):
    """Confirm an address by the token from the mail."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @schema.verify_email
    def post(self, request: Request) -> Response:
        mail_links.confirm_email(**parse(serializers.TokenRequest, request))
        return Response(status=204)


class MeView(ApiView):
    """Return the bearer's user."""

    authentication_classes = (JWTAuthentication,)
    permission_classes = (IsUser,)

    @schema.me
    def get(self, request: Request) -> Response:
        return Response(serializers.MeResponse(user_of(request)).data)


def tokens(pair: TokenPair) -> Response:
    """Return the response to a login or a refresh (RFC 6749, section 5.1)."""
    return Response({**pair._asdict(), "token_type": "bearer"})


@reading_only
@without_parameters
def jwks(request: HttpRequest) -> HttpResponse:
    """/.well-known/jwks.json: the keys that verify access tokens elsewhere; none under HS256 (RFC 7517)."""
    keys, max_age = keyring.published_keys()
    headers = {"Cache-Control": f"public, max-age={max_age}" if max_age else "no-store"}
    return JsonResponse({"keys": keys}, headers=headers)
