"""Logging: one JSON object a line on stderr, with the id of the request that it belongs to."""

import logging
from typing import Any

AUDIT = "audit"  # the logger of security events


class RequestIDFilter(logging.Filter):
    """Adds ``request_id`` to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        from authsvc.context import current  # noqa: PLC0415  settings.py imports this module, and that one the settings

        record.request_id = current.get().request_id
        return True


class UnexpectedFilter(logging.Filter):
    """Drops Django's word on a 503, which authsvc.problems has told with its cause and the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != 503


def config(level: str, audit_file: str = "") -> dict[str, Any]:
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
            "request_id": {"()": "authsvc.logs.RequestIDFilter"},
            "unexpected": {"()": "authsvc.logs.UnexpectedFilter"},
        },
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.orjson.OrjsonFormatter",
                "fmt": "{levelname}{name}{request_id}{message}",
                "style": "{",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": True,
            }
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["request_id"]},
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
        },
    }


def server(level: str) -> dict[str, Any]:
    """Return the same for gunicorn's own words, which its first process says without Django."""
    shared = config(level)
    # At DEBUG it writes down the address of each request, and people paste keys into addresses.
    own = {"level": "INFO" if level == "DEBUG" else level, "handlers": ["stderr"], "propagate": False}
    return {**shared, "loggers": {"gunicorn.error": own}}
