"""WSGI: an application behind authsvc, whatever its framework (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from authsvc_client.errors import AuthsvcError
from authsvc_client.identity import Verifier, names
from authsvc_client.refusals import is_spoof, refusal

IDENTITY = "authsvc.identity"


class AuthsvcMiddleware:
    """Lets through who has a good credential with all of these scopes and roles, and nobody else.

    The application finds the Identity in ``environ["authsvc.identity"]``, and no X-Auth-… header of a client.
    ``client_address`` takes the environ and returns the address to tell authsvc, None for none; without it none is
    told.
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
        for name in [name for name in environ if name.startswith("HTTP_") and is_spoof(name[5:])]:
            del environ[name]
        sent = (("authorization", "HTTP_AUTHORIZATION"), ("x-api-key", "HTTP_X_API_KEY"))
        try:
            environ[IDENTITY] = self.verifier.verify(
                # PEP 3333 has the bytes of a header as characters of latin-1.
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
