"""Guard a Python service with authsvc.

``AuthsvcClient`` and ``AsyncAuthsvcClient`` call the service. ``authsvc_client.offline`` verifies tokens without a call
(the extra ``offline``). ``authsvc_client.wsgi``, ``.asgi`` and ``.fastapi`` protect an application.
"""

from authsvc_client.aio import AsyncAuthsvcClient
from authsvc_client.client import AuthsvcClient
from authsvc_client.errors import AuthsvcError, Forbidden, RateLimited, Unauthenticated, Unavailable
from authsvc_client.identity import Identity, Introspection

__all__ = [
    "AsyncAuthsvcClient",
    "AuthsvcClient",
    "AuthsvcError",
    "Forbidden",
    "Identity",
    "Introspection",
    "RateLimited",
    "Unauthenticated",
    "Unavailable",
]
__version__ = "0.1.0"
