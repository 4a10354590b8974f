"""The WSGI application: ``gunicorn authsvc.wsgi``."""

import django

from authsvc.config.startup import require_checks, require_database, require_settings, serving

require_settings()
django.setup(set_prefix=False)

from authsvc.server.handler import Handler  # noqa: E402  it needs the settings

application = Handler()
require_checks()
require_database()
serving.send(sender=None)
