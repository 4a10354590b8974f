"""How gunicorn's first process starts, says where it serves, and reloads.

It loads no settings and as little code as it can, for what it has loaded its workers inherit, also after a reload.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from authsvc.config import dotenv

PREFLIGHT = (sys.executable, "-m", "authsvc.server.preflight")
PREFLIGHT_TIMEOUT = 60  # seconds
FORGOTTEN = {"authsvc", "django"}  # packages whose modules a reload loads again
KEPT = {"authsvc.telemetry.shared_counts"}  # its memory is what the workers count in, before and after
WELCOME = "AUTHSVC_WELCOME"  # set by `make run`


def read_settings(folder: Path) -> SimpleNamespace:
    """Return the project's plain settings, read in a process of their own, or exit with status 1.

    That process has said why, in one sentence on stderr.
    """
    asked = subprocess.run(  # noqa: S603  a program of ours
        PREFLIGHT, cwd=folder, stdout=subprocess.PIPE, timeout=PREFLIGHT_TIMEOUT, check=False
    )
    if asked.returncode:
        sys.exit(1)
    found = json.loads(asked.stdout)
    return SimpleNamespace(**found.pop("settings"), **found)


def use_settings(settings: SimpleNamespace) -> None:
    """Give a new worker what was read from ``.env`` when it was last found good, whatever stands there by now."""
    dotenv.current.freeze(settings.dotenv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authsvc.settings")  # a worker reads some before it loads wsgi.py


def require_ports(arbiter: Any) -> None:
    """Exit with one sentence where an address is taken; gunicorn would try for five seconds and log each time."""
    if "GUNICORN_PID" in os.environ or os.environ.get("LISTEN_PID") == str(os.getpid()):
        return  # it inherits its sockets
    for address in [address for address in arbiter.address if isinstance(address, tuple)]:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                probe.listen()
            except OSError as error:
                where = f"port {address[1]} of {address[0]}"
                sys.exit(f"authsvc: Cannot serve on {where}: {error.strerror}; PORT names another one.")


def correct_reexec(arbiter: Any) -> None:
    """Have USR2 start ``python -m gunicorn`` as that.

    gunicorn by itself starts the file of its package then, whose folder hides the standard library's ``http``.
    """
    if Path(sys.argv[0]).name == "__main__.py":
        arbiter.START_CTX["args"] = [sys.executable, "-m", "gunicorn", *sys.argv[1:]]


def tell_where(arbiter: Any, settings: SimpleNamespace) -> None:
    """Log what stands in the way of an answer; print the addresses for `make run`, once they are listened on."""
    if settings.database:
        arbiter.log.warning("%s Until then /readyz answers 503.", settings.database)
    if settings.TRUSTED_PROXIES == 0 and any(isinstance(address, str) for address in arbiter.address):
        arbiter.log.warning("TRUSTED_PROXIES is 0 and clients come through a unix socket: all of them count as one.")
    if os.environ.get(WELCOME):
        url = settings.PUBLIC_URL
        lines = (
            f"  API          {url}",
            f"  API docs     {url}/docs",
            f"  Admin        {url}/admin/",
            "  First operator:  .venv/bin/python manage.py createsuperuser",
        )
        print("", *lines, "", sep="\n", flush=True)  # noqa: T201  for people; the log is for programs


def guard_reload(arbiter: Any, settings: SimpleNamespace, folder: Path) -> None:
    """Have HUP refused, with one line in the log, where the new code or settings would not start.

    gunicorn by itself ends the whole service when a worker fails to boot.
    """
    reload = arbiter.handle_hup

    def handle_hup() -> None:
        problem = reload_problem(settings, folder)
        if problem:
            arbiter.log.error("Not reloaded, the workers go on as they are: %s", problem)
            return
        loaded = [name for name in sys.modules if name.partition(".")[0] in FORGOTTEN and name not in KEPT]
        for name in loaded:
            del sys.modules[name]
        reload()

    arbiter.handle_hup = handle_hup


def reload_problem(settings: SimpleNamespace, folder: Path) -> str | None:
    """Return why a reload would fail, or None."""
    try:
        asked = subprocess.run(  # noqa: S603  as above
            PREFLIGHT, cwd=folder, capture_output=True, text=True, timeout=PREFLIGHT_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the new settings cannot be read ({type(error).__name__})."
    if asked.returncode:
        return asked.stderr.strip().rpartition("\n")[2].removeprefix("authsvc: ")
    if json.loads(asked.stdout)["settings"]["PORT"] != settings.PORT:
        return "another PORT needs a restart."
    return None
