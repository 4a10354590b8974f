"""PgBouncer in transaction mode, the real one. ``bench/`` uses it too, so nothing here needs pytest."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

# Debian keeps it where only root looks.
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
CONFIGURATION = """
[databases]
* = host={host} port={port} {login} pool_size={pool}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
"""


def program() -> str | None:
    """Return the path of PgBouncer, or None where it is not installed."""
    return shutil.which("pgbouncer", path=PLACES)


class PgBouncer:
    """PgBouncer before the server of a database; ``through(url)`` is the URL of one of its databases by this way."""

    def __init__(self, folder: Path, database_url: str, *, port: int, pool: int, options: str = "") -> None:
        self.port, self.log = port, folder / "pgbouncer.log"
        parts = urlsplit(database_url)
        login = " ".join(
            f"{name}='{unquote(value)}'"
            for name, value in (("user", parts.username), ("password", parts.password))
            if value
        )
        places = {"host": parts.hostname, "port": parts.port or 5432, "own_port": port}
        (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(login=login, pool=pool, **places) + options)
        as_root = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
        with self.log.open("w") as log:
            command = [str(program()), *as_root, str(folder / "pgbouncer.ini")]
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def __enter__(self) -> PgBouncer:
        end = time.monotonic() + 30
        while not self.listens():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(30)

    def listens(self) -> bool:
        """Say whether clients can connect by now."""
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port))):
            return True
        return False

    def through(self, url: str) -> str:
        """Return the URL of a database of the same server, by way of PgBouncer."""
        return urlsplit(url)._replace(netloc=f"somebody@127.0.0.1:{self.port}").geturl()
