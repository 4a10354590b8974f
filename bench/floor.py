"""The least that a guarded view behind gunicorn can be, on the project's own tables; served.py measures beside it.

``/nothing`` answers; ``/select`` looks a key up by one prepared SELECT. No middleware, no framework on top of Django.
"""

import hashlib
import json
import os
import threading

import django
import psycopg
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(SECRET_KEY="nothing is signed here", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402  it needs the settings

SQL = """
    SELECT k.id, k.name, k.expires_at, k.revoked_at, u.id, u.username, u.is_active FROM apikeys_secret s
    JOIN apikeys_apikey k ON k.id = s.api_key_id JOIN accounts_user u ON u.id = k.owner_id WHERE s.digest = %s
"""
local = threading.local()


def nothing(request: HttpRequest) -> HttpResponse:
    return answer(b"{}")


def select(request: HttpRequest) -> HttpResponse:
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=0)
    digest = hashlib.sha256(request.headers["X-API-Key"].encode()).digest()
    row = local.connection.execute(SQL, [digest]).fetchone()
    return answer(json.dumps({"service": row[1], "owner": row[5]}).encode(), status=200 if row[6] else 401)


def answer(body: bytes, status: int = 200) -> HttpResponse:
    """Return JSON with its length, without which gunicorn would send chunks."""
    return HttpResponse(body, "application/json", status, headers={"Content-Length": str(len(body))})


urlpatterns = [path("nothing", nothing), path("select", select)]
application = get_wsgi_application()
