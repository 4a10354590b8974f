#!/usr/bin/env python
"""Django's command line: ``python manage.py help`` lists the commands."""

import sys

try:
    from django.core.management import execute_from_command_line
except ModuleNotFoundError:
    sys.exit("authsvc: Django is not installed for this Python; use .venv/bin/python, which `make run` makes.")

from authsvc.config.startup import one_sentence, require_settings
from authsvc.request.context import mask


def main(argv: list[str]) -> None:
    """Run a command. A mistake of the operator is one sentence and exit status 1; ``--traceback`` shows where."""
    with one_sentence(traceback="--traceback" in argv):
        require_settings()
        # Django repeats the name of a command that it does not know, which may be a key.
        execute_from_command_line([*argv[:1], *map(mask, argv[1:2]), *argv[2:]])


if __name__ == "__main__":
    main(sys.argv)
