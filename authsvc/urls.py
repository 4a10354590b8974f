"""Every route. No trailing slash but in the admin."""

from django.contrib import admin
from django.urls import include, path

from authsvc.api import docs, probes
from authsvc.web import front

urlpatterns = [
    path("", include("accounts.urls")),
    path("", include("apikeys.urls")),
    path("", include("gateway.urls")),
    path("protected/", include("protected.urls")),
    path("", front.front, name="front"),
    path("openapi.json", docs.openapi, name="openapi"),
    path("docs", docs.swagger, name="docs"),
    path("redoc", docs.redoc, name="redoc"),
    path("livez", probes.livez),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", probes.metrics_text),
    path("admin/", admin.site.urls),
]

handler400 = "authsvc.problems.bad_request"
handler403 = "authsvc.problems.forbidden"
handler404 = "authsvc.problems.not_found"
handler500 = "authsvc.problems.server_error"
