"""Logging on stderr: one JSON object a line for programs, or one line of text for people (LOG_FORMAT)."""

import logging
import sys
from typing import Any

AUDIT = "audit"  # the logger of security events


class RequestIDFilter(logging.Filter):
    """Adds ``request_id`` to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        from authsvc.request.context import current  # noqa: PLC0415  settings.py imports this module, and that one the settings

        record.request_id = current.get().request_id
        return True


class TextFormatter(logging.Formatter):
    """A record as a line for people; a request's as its method, route and status, a security event's as a sentence.

    What a client has sent may be in a message, so what is not printable is escaped: it starts no line of its own.
    """

    default_time_format = "%H:%M:%S"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        message = record.message
        if hasattr(record, "route"):
            message = f"{record.method} {record.route} {record.status} in {record.milliseconds:.1f} ms"  # type: ignore[attr-defined]  # access.py adds them
        elif hasattr(record, "event"):
            message = f"{message} {told(record)}"
        escaped = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in message)
        return f"{self.formatTime(record, self.default_time_format)} {record.levelname:<8} {escaped}"


def told(record: Any) -> str:
    """Return ``EVENT SUBJECT (ID) by ACTOR: REASON`` of the record that audit.journal logs, as far as it has them."""
    subject = f" {record.subject_name} ({record.subject_id})" if record.subject_type else ""
    actor = f" by {record.actor_name}" if record.actor_name else ""
    reason = f": {record.reason}" if record.reason else ""
    return f"{record.event}{subject}{actor}{reason}"


class UnexpectedFilter(logging.Filter):
    """Drops Django's word on a 503, which authsvc.problems has told with its cause and the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != 503


class UnlisteningFilter(logging.Filter):
    """Drops gunicorn's first line: where it cannot listen, one sentence says so, and else the next line says more."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "Starting gunicorn %s"


def formatter(log_format: str) -> str:
    """Return the formatter of a LOG_FORMAT: ``auto`` is text where stderr is a terminal and JSON elsewhere."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return {"auto": "text" if terminal else "json"}.get(log_format, log_format)


def config(level: str, log_format: str = "auto", audit_file: str = "") -> dict[str, Any]:
    """Return Django's LOGGING for one level; no record ever holds a header or a body, where credentials travel.

    Security events are logged at every level, and to ``audit_file`` too where one is named.
    """
    to_file = {
        "class": "logging.handlers.WatchedFileHandler",
        "filename": audit_file,
        "encoding": "utf-8",
        "delay": True,
        "formatter": "json",
        "filters": ["request_id"],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": "authsvc.telemetry.logs.RequestIDFilter"},
            "unexpected": {"()": "authsvc.telemetry.logs.UnexpectedFilter"},
            "unlistening": {"()": "authsvc.telemetry.logs.UnlisteningFilter"},
        },
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.orjson.OrjsonFormatter",
                "fmt": "{levelname}{name}{request_id}{message}",
                "style": "{",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": True,
            },
            "text": {"()": "authsvc.telemetry.logs.TextFormatter"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": formatter(log_format),
                "filters": ["request_id"],
            },
            **({"audit": to_file} if audit_file else {}),
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            AUDIT: {"level": "INFO", "handlers": ["audit"] if audit_file else []},
            # Refusals are the API's daily bread, not warnings; failures of ours stay errors.
            "django.request": {"level": "ERROR", "filters": ["unexpected"]},
            # Anybody can send any Host, or a body that is too large; it answers 4xx and is no event.
            "django.security": {"level": "CRITICAL"},
            "django.security.csrf": {"level": "WARNING"},
            # runserver's line for each request holds its address; ours does not.
            "django.server": {"level": "CRITICAL"},
        },
    }


def server(level: str, log_format: str = "auto") -> dict[str, Any]:
    """Return the same for gunicorn's own words, which its first process says without Django."""
    shared = config(level, log_format)
    # At DEBUG it writes down the address of each request, and people paste keys into addresses.
    own = {
        "level": "INFO" if level == "DEBUG" else level,
        "handlers": ["stderr"],
        "propagate": False,
        "filters": ["unlistening"],
    }
    return {**shared, "loggers": {"gunicorn.error": own}}
