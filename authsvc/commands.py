"""The base of the project's commands: whatever is wrong is one sentence on stderr and exit status 1."""

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, OutputWrapper, handle_default_options
from django.db import ProgrammingError, connections

from authsvc.config.mistakes import explain
from authsvc.database.errors import DATABASE_ERRORS
from authsvc.request.context import mask
from authsvc.telemetry import logs

WHOLE_NUMBER = re.compile(r"-?[0-9]+")
MOST_DIGITS = 4000  # Python converts no more than 4300


class SentenceCommand(BaseCommand):
    """A command whose result alone goes to stdout, so that ``X=$(manage.py …)`` works."""

    # The system checks are for ``manage.py check`` and for serving: their warnings would stand before the one sentence.
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        # Django prints usage and exits with 2 for a wrong argument, and with the exception's name for a CommandError.
        # On stderr the operator reads one sentence; the events go to AUDIT_LOG.
        events = logging.getLogger(logs.AUDIT)
        events.propagate = False
        try:
            self.open_stdout()
            namespace = self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
            handle_default_options(namespace)
            self.execute(**vars(namespace))
            sys.stdout.flush()
        except CommandError as error:
            self.tell(without_arguments(str(error)), style=None)
            sys.exit(1)
        except OSError as error:  # the disk is full, or whoever read has gone
            # What is left in the buffer can go nowhere, and Python is not to stumble over it at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.tell(f"The result cannot be written to standard output: {error.strerror or error}.", style=None)
            sys.exit(1)
        finally:
            events.propagate = True
            connections.close_all()

    def open_stdout(self) -> None:
        """Put a file that refuses to be written in the place of a stdout that was closed, which Python has as None."""
        if sys.stdout is None:
            sys.stdout = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  open until the process ends
            self.stdout = OutputWrapper(sys.stdout)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except UnicodeEncodeError as error:  # bytes of the command line that are no UTF-8
            raise CommandError("An argument has characters that are not text.") from error
        except (*DATABASE_ERRORS, ProgrammingError) as error:  # the latter of a database that nobody has migrated
            said = " ".join(str(error).split())
            raise CommandError(explain(error) or f"The database cannot be used: {said}") from error

    def show(self, result: str) -> None:
        """Write the result, down to the file. Raises OSError.

        Called inside the transaction of what the result tells of: a secret that nobody could read changes nothing.
        """
        self.stdout.write(result)
        self.stdout.flush()

    def tell(self, sentence: str, style: Callable[[str], str] | None = str) -> None:
        """Write a sentence to stderr without what looks like a credential; nothing is raised where that cannot be."""
        with contextlib.suppress(OSError, AttributeError):  # the latter where stderr was closed: Python has it as None
            self.stderr.write(mask(sentence), style_func=style)


def as_json(value: Any) -> str:
    """Return JSON in ASCII, which every locale can write; times and the like are as in the API's answers."""
    return json.dumps(orjson.loads(orjson.dumps(value)), separators=(",", ":"))


def without_arguments(sentence: str) -> str:
    """Return a complaint without the words that it complains of: one may be a key, pasted into a wrong place."""
    complaint, unknown, _ = sentence.partition("unrecognized arguments:")
    return f"{complaint}there are arguments that this command does not know." if unknown else sentence


def whole_number(option: str, value: str) -> int:
    """Return an option's whole number, however large: the caller knows its range. Raises CommandError."""
    if not WHOLE_NUMBER.fullmatch(value):
        raise CommandError(f"{option} must be a whole number, not {value!r}.")
    return int(value[:MOST_DIGITS])  # the rest of a longer one brings it back into no range
