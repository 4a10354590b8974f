"""A PostgreSQL of a test's own, which it may freeze, stop and change."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

BINS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
USER = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root


def program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, or None where it is not installed."""
    found = [path / name for path in BINS if (path / name).is_file()]
    return str(found[-1]) if found else shutil.which(name)


class Postgres:
    """A running PostgreSQL in a folder; ``url`` is that of its first database."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"postgres://postgres@127.0.0.1:{port}/postgres"
        shutil.chown(folder, USER or os.geteuid())
        self.run(
            "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "-D", f"{folder}/data"
        )
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        self.control("start", "-l", f"{folder}/log", "-o", options)

    def run(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        command = [str(program(name)), *arguments]
        done = subprocess.run(command, cwd=self.folder, user=USER, stdout=subprocess.DEVNULL, timeout=60, check=False)
        assert done.returncode == 0, (name, arguments)

    def control(self, action: str, *arguments: str) -> None:
        """Start or stop."""
        self.run("pg_ctl", "-w", "-s", "-D", f"{self.folder}/data", *arguments, action)

    def processes(self) -> list[int]:
        """Return the ids of the server and its children."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def freeze(self) -> None:
        """Stop every process where it is: connections stay open, and nobody answers."""
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)

    def execute(self, sql: str, database: str = "postgres") -> None:
        """Run one statement, outside a transaction."""
        url = self.url.removesuffix("postgres") + database
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(sql.encode())

    def stop(self) -> None:
        """Stop at once, frozen or not."""
        self.thaw()
        self.control("stop", "-m", "immediate")
