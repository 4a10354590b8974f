"""Starting so that a wrong setting or an open view ends the process with one sentence, not with a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.dispatch import Signal

# Sent once in each process that is about to serve requests; apps start there what runs beside them.
serving = Signal()


def require_settings() -> None:
    """Load the settings, or exit with status 1 and the sentence that names the variable."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authsvc.settings")
    try:
        settings.INSTALLED_APPS  # noqa: B018  touching any setting loads them all
    except ImproperlyConfigured as error:
        sys.exit(f"authsvc: {error}")


def require_checks() -> None:
    """Run the project's own system checks, or exit with status 1: a WSGI server runs none of its own accord."""
    from authsvc.config.checks import TAG  # noqa: PLC0415  importable only once Django's apps are loaded

    errors = [message for message in run_checks(tags=[TAG]) if message.level >= ERROR]
    if errors:
        sys.exit("\n".join(f"authsvc: {error.id}: {error.msg}" for error in errors))


def require_database() -> None:
    """Exit with status 1 where the database answers and cannot be worked with. One that is away may come back."""
    from authsvc.database.connections import unsupported  # noqa: PLC0415  as above

    if sentence := unsupported():
        sys.exit(f"authsvc: {sentence}")


@contextmanager
def one_sentence(*, traceback: bool = False) -> Iterator[None]:
    """Turn an operator's mistake into one sentence on stderr and exit status 1, unless the traceback is wanted."""
    from authsvc.config.mistakes import explain, make_output_safe  # noqa: PLC0415  it loads Django's ORM, and a worker needs none of it

    make_output_safe()
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports a program that was interrupted
    except Exception as error:
        sentence = explain(error)
        if traceback or sentence is None:
            raise
        sys.exit(f"authsvc: {sentence}")
