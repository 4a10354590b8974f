"""WSGI middleware for an application of any framework (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from authsvc_client.errors import AuthsvcError
from authsvc_client.identity import Verifier, names
from authsvc_client.refusals import is_identity_header, refusal

IDENTITY = "authsvc.identity"


class AuthsvcMiddleware:
    """Rejects every request whose credential is not valid or lacks one of ``scopes`` and ``roles``.

    The application finds the Identity in ``environ["authsvc.identity"]``. X-Auth-… headers of clients are removed.
    ``client_address`` takes the environ and returns the client's address to send to authsvc, or None; without it none
    is sent.
    """

    def __init__(
        self,
        app: WSGIApplication,
        verifier: Verifier,
        *,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: Callable[[WSGIEnvironment], str | None] = lambda environ: None,
    ) -> None:
        self.app, self.verifier, self.audience = app, verifier, audience
        self.scopes, self.roles, self.client_address = names(scopes), names(roles), client_address

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for name in [name for name in environ if name.startswith("HTTP_") and is_identity_header(name[5:])]:
            del environ[name]
        sent = (("authorization", "HTTP_AUTHORIZATION"), ("x-api-key", "HTTP_X_API_KEY"))
        try:
            environ[IDENTITY] = self.verifier.verify(
                # PEP 3333 decodes the bytes of a header as latin-1.
                [(name.encode(), environ[key].encode("latin-1")) for name, key in sent if key in environ],
                scopes=self.scopes,
                roles=self.roles,
                audience=self.audience,
                client_address=self.client_address(environ),
            )
        except AuthsvcError as error:
            headers, body = refusal(error)
            start_response(f"{error.status} {HTTPStatus(error.status).phrase}", headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        return self.app(environ, start_response)
