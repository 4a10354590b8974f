"""How gunicorn serves authsvc: ``gunicorn authsvc.wsgi`` reads this file from the folder it starts in."""

import os
from pathlib import Path
from typing import Any

from authsvc.server import lifecycle, slots
from authsvc.server.worker import settle
from authsvc.telemetry import logs
from authsvc.telemetry.shared_counts import counts

FOLDER = Path(__file__).resolve().parent
# A reload reads this file again; what the first process imports of Django or of the settings would stay as it is.
settings = lifecycle.read_settings(FOLDER)

bind = f"127.0.0.1:{settings.PORT}"
# gthread, but for what docs/decisions.md says.
worker_class = "gthread" if settings.STOCK_SERVER else "authsvc.server.worker.Worker"
workers = settings.WEB_CONCURRENCY
threads = settings.THREADS
worker_connections = slots.max_connections()
keepalive = 15  # seconds; a proxy should keep its side shorter
timeout = 30  # seconds without a sign of life, after which a worker is replaced
# A worker's heartbeat is a file. In memory it needs no temporary folder, and no disk can delay it.
MEMORY = "/dev/shm"  # noqa: S108  gunicorn makes the file by mkstemp
worker_tmp_dir = MEMORY if os.access(MEMORY, os.W_OK) else None
graceful_timeout = 30  # seconds that running requests get at a stop or reload

# Larger than any token that this service accepts.
limit_request_line = 8190  # bytes
limit_request_fields = 64
limit_request_field_size = 16_384 + 2  # bytes; gunicorn counts the end of the line

# No header of a request moves its path or changes its scheme before Django sees it, whoever the peer is: which proxy is
# believed, and on what, TRUSTED_PROXIES alone decides. gunicorn by itself believes everybody on this machine. Since it
# believes no header here, it need not look up for each request whom it would believe one from.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
forwarded_allow_ips = "*"

# The control socket is a way into the process that nothing here needs.
control_socket_disable = True
logconfig_dict = logs.server(settings.LOG_LEVEL, settings.LOG_FORMAT)
logger_class = "authsvc.server.worker.Logger"


def on_starting(server: object) -> None:
    """Before the first process listens."""
    lifecycle.require_ports(server)
    lifecycle.guard_reload(server, settings, FOLDER)
    lifecycle.correct_reexec(server)


def when_ready(server: object) -> None:
    """Once the first process listens."""
    lifecycle.tell_where(server, settings)


def pre_fork(server: object, worker: Any) -> None:
    """Before each worker begins, in the first process."""
    slots.assign(server, worker)
    counts.merge(worker.seat)  # of a worker whose end went unnoticed


def post_fork(server: object, worker: Any) -> None:
    """Once in each worker, before it has loaded anything."""
    if not settings.STOCK_SERVER:
        slots.pin_to_core(worker)
    counts.use(worker.seat)
    lifecycle.use_settings(settings)


def post_worker_init(worker: object) -> None:
    """Once in each worker, before its first request."""
    if settings.STOCK_SERVER:
        return
    from authsvc.server.errors import answer_as_the_api_does  # noqa: PLC0415  it needs the settings, and the master needs none

    answer_as_the_api_does()
    settle()


def child_exit(server: object, worker: Any) -> None:
    """After a worker has ended, in the first process."""
    counts.merge(worker.seat)
