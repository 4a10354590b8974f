"""``python -m authsvc.server.preflight``: do these settings and this code start, and what do they tell the server.

gunicorn's first process asks this of a process of its own. So it loads nothing of the project that a reload could not
load again, and a mistake is found before a port is bound or a worker is replaced.
"""

import json
import sys
from typing import Any

import django
from django.conf import settings

from authsvc.config import dotenv
from authsvc.config.startup import one_sentence, require_checks, require_database, require_settings


def load() -> dict[str, Any]:
    """Return the settings that are numbers, words and truth values, and what came from ``.env``.

    Exits with one sentence where a worker could not start.
    """
    require_settings()
    django.setup(set_prefix=False)
    require_checks()
    require_database()

    from authsvc.config.mistakes import database_problem  # noqa: PLC0415  it needs the apps
    from authsvc.server.handler import Handler  # noqa: PLC0415  it needs the settings

    Handler()
    simple = {
        name: value
        for name in dir(settings)
        if name.isupper() and not name.startswith("SECRET_KEY")
        if isinstance(value := getattr(settings, name), bool | int | str)
    }
    return {"settings": simple, "dotenv": dotenv.current.loaded, "database": database_problem()}


def main() -> None:
    """Print what has been found as JSON on stdout."""
    with one_sentence():
        json.dump(load(), sys.stdout)


if __name__ == "__main__":
    main()
