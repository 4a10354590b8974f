"""The WSGI application: ``gunicorn authsvc.wsgi``."""

import django

from authsvc.config.startup import require_checks, require_database, require_settings, serving

require_settings()
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  as below
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402  as below

from authsvc.server.handler import Handler  # noqa: E402  it needs the settings

application = WSGIHandler() if settings.STOCK_SERVER else Handler()
require_checks()
require_database()
serving.send(sender=None)
