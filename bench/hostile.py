"""What an attack of one address costs, what other clients feel meanwhile, and how long until it is over.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/hostile.py [slow] [flood] [work] [silence]

Serves on a database of its own and attacks it over loopback, each attack for some seconds and with a bounded number of
connections. Other clients are a paced caller of /auth/verify with an API key, and one of /livez.

slow     connections that are silent, stop halfway, drip, or do not take their answers
flood    64 clients that log in, sign up and reset passwords as fast as they are answered
work     requests whose bytes are chosen to be expensive: CPU of the server for each, and memory that stays
silence  a PostgreSQL that is frozen (SIGSTOP), in a cluster of its own
"""

import json
import multiprocessing
import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import service

SECONDS = 6.0  # of an attack
PACE = 40  # calls a second of the other clients
PASSWORD = "correct-horse-battery"
HOST = "Host: 127.0.0.1"
JSON = {"Content-Type": "application/json"}


class Felt(NamedTuple):
    """What a paced caller felt: milliseconds, and answers that were not 200."""

    p50: float
    p99: float
    worst: float
    failed: int


class Probe(threading.Thread):
    """Calls a path at a pace, over connections that it keeps, and notes how long each answer took."""

    def __init__(self, port: int, path: str, headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.port, self.path, self.headers = port, path, headers
        self.took: list[float] = []
        self.failed, self.ending = 0, threading.Event()
        self.start()

    def run(self) -> None:
        """Call until told to end."""
        connection, due = HTTPConnection("127.0.0.1", self.port, timeout=60), time.monotonic()
        while not self.ending.is_set():
            due += 1 / PACE
            self.ending.wait(max(0.0, due - time.monotonic()))
            began = max(due, 0.0)  # an answer that is late delays no measurement: it counts from when it was due
            try:
                connection.request("GET", self.path, headers=self.headers)
                answer = connection.getresponse()
                answer.read()
                self.failed += answer.status != 200
            except OSError:
                self.failed += 1
                connection.close()
            self.took.append((time.monotonic() - began) * 1000)
            due = max(due, time.monotonic() - 1)

    def end(self) -> Felt:
        """Return what was felt."""
        self.ending.set()
        self.join(70)
        took = sorted(self.took) or [float("nan")]
        return Felt(statistics.median(took), took[int(len(took) * 0.99)], took[-1], self.failed)


class Target:
    """A service to attack: its port, its first process, and a key."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid
        name = f"u{secrets.token_hex(4)}"
        who = {"username": name, "password": PASSWORD}
        self.call("/auth/signup", {**who, "email": f"{name}@example.com"})
        token = self.call("/auth/login", who)["access_token"]
        self.key = self.call("/keys", {"name": "bench"}, {"Authorization": f"Bearer {token}"})["key"]

    def call(self, path: str, body: object, headers: dict[str, str] | None = None) -> Any:
        """Post JSON and return the answer's."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", path, json.dumps(body), {**JSON, **(headers or {})})
        return json.loads(connection.getresponse().read())

    def others(self) -> tuple[Probe, Probe]:
        """Start the other clients."""
        return Probe(self.port, "/auth/verify", {"X-API-Key": self.key}), Probe(self.port, "/livez", {})


def told(name: str, verify: Felt, live: Felt, more: str = "") -> None:
    """Print what one attack did to others."""
    felt = [f"p50 {each.p50:7.1f}  p99 {each.p99:8.1f} ms  failed {each.failed:3d}" for each in (verify, live)]
    print(f"{name:34} verify {felt[0]}   livez {felt[1]}   {more}", flush=True)


@contextmanager
def target(**more: str) -> Iterator[Target]:
    """Serve on a database of its own."""
    with service.own_database() as url:
        port = service.free_port()
        environment = service.variables(url, PORT=str(port), LOG_LEVEL="ERROR", **more)
        service.manage(environment, "migrate", "-v0")
        with service.served(environment) as pid:
            yield Target(port, pid)


# --- slow clients -----------------------------------------------------------------------------------------------------


def opened(port: int, data: bytes) -> socket.socket:
    """Return a connection that has sent something."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(data)
    return connection


def taker(port: int) -> socket.socket:
    """Return a connection that has asked for large answers and takes none."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET /openapi.json HTTP/1.1\r\n{HOST}\r\n\r\n".encode() * 20)
    return connection


HALF_HEAD = f"GET /livez HTTP/1.1\r\n{HOST}\r\n".encode()
HALF_BODY = (
    f"POST /auth/login HTTP/1.1\r\n{HOST}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode()
)
SLOW: dict[str, Callable[[int], socket.socket]] = {
    "200 silent connections": lambda port: opened(port, b""),
    "200 half heads": lambda port: opened(port, HALF_HEAD),
    "200 half bodies": lambda port: opened(port, HALF_BODY),
    "200 that drip a byte a second": lambda port: opened(port, HALF_HEAD + b"X-Drip: "),
    "200 that take no answers": taker,
}


def slow(attacked: Target) -> None:
    """Hold connections, and tell what others feel and when each of ours is closed."""
    told("nobody else", *quiet(attacked))
    for name, connect in SLOW.items():
        others, began = attacked.others(), time.monotonic()
        held = [connect(attacked.port) for _ in range(200)]
        closed: list[float] = []
        while held and time.monotonic() - began < 40:
            time.sleep(1)
            if "drip" in name:
                held = [each for each in held if dripped(each)]
            held = [each for each in held if not is_closed(each, closed, began, reads="answers" not in name)]
        more = f"closed after {max(closed):.0f} s" if not held and closed else f"{len(held)} still open after 40 s"
        told(name, *(each.end() for each in others), more)
        for each in held:
            each.close()


def quiet(attacked: Target) -> tuple[Felt, Felt]:
    """Return what the other clients feel without an attack."""
    verify, live = attacked.others()
    time.sleep(SECONDS)
    return verify.end(), live.end()


def dripped(connection: socket.socket) -> bool:
    """Send one byte; tell whether there is still somebody to send it to."""
    try:
        return connection.send(b"x") == 1
    except OSError:
        return True  # closed: is_closed counts it


def is_closed(connection: socket.socket, closed: list[float], began: float, *, reads: bool) -> bool:
    """Tell whether the service has hung up, and note when."""
    connection.setblocking(False)
    try:
        if reads:
            for _ in range(1000):
                if not connection.recv(65536):
                    break
        else:
            connection.sendall(b"\r\n")
            return False
    except BlockingIOError:
        return False
    except OSError:
        pass
    closed.append(time.monotonic() - began)
    connection.close()
    return True


# --- floods -----------------------------------------------------------------------------------------------------------


def flooding(port: int, path: str, clients: int, seconds: float) -> None:
    """Post as fast as answers come, in a process of its own."""
    end = time.monotonic() + seconds

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < end:
            name = secrets.token_hex(6)
            bodies: dict[str, dict[str, str]] = {
                "/auth/login": {"username": name, "password": "wrong-horse-battery"},
                "/auth/signup": {"username": name, "password": PASSWORD, "email": f"{name}@example.com"},
            }
            try:
                connection.request("POST", path, json.dumps(bodies.get(path, {"email": f"{name}@example.com"})), JSON)
                connection.getresponse().read()
            except OSError:
                connection.close()

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 65)


def flood(attacked: Target) -> None:
    """Flood what hashes or mails, and tell what others feel."""
    told("nobody else", *quiet(attacked))
    for path in ("/auth/login", "/auth/signup", "/auth/password/reset"):
        attacker = multiprocessing.Process(target=flooding, args=(attacked.port, path, 64, SECONDS))
        attacker.start()
        time.sleep(0.5)
        others = attacked.others()
        time.sleep(SECONDS - 1)
        felt = [each.end() for each in others]
        told(f"64 clients at {path}", *felt)
        attacker.join(90)


# --- work -------------------------------------------------------------------------------------------------------------

MEGABYTE = 1024 * 1024
HOSTILE: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "the smallest login": ("/auth/login", b"{}", {}),
    "a megabyte of unknown fields": ("/auth/login", json.dumps({f"f{n}": 0 for n in range(80_000)}).encode(), {}),
    "a megabyte of scopes": ("/auth/token", b'{"scope": [' + b'"a",' * 250_000 + b'"a"]}', {}),
    "a megabyte of brackets": ("/auth/login", b"[" * MEGABYTE, {}),
    "a megabyte of digits": ("/auth/login", b'{"username": ' + b"9" * (MEGABYTE - 20) + b"}", {}),
    "a megabyte of text": ("/auth/login", b'{"username": "' + b"a" * (MEGABYTE - 50) + b'", "password": "x"}', {}),
    "User-Agent of 16 kB of eyJ": ("/auth/password/reset", b'{"email": "a@example.com"}', {"User-Agent": "eyJ" * 5300}),
    "User-Agent of 128 kB of eyJ": (
        "/auth/password/reset",
        b'{"email": "a@example.com"}',
        {"User-Agent": "eyJ" * 43_600},
    ),
    "a form of a megabyte at the console": (
        "/admin/login/",
        b"a=b&" * 260_000,
        {"Content-Type": "application/x-www-form-urlencoded"},
    ),
}


def work(attacked: Target) -> None:
    """Send each hostile request some times, and tell what it costs the server."""
    for name, (path, body, headers) in HOSTILE.items():
        times = 20 if len(body) < 1000 and "eyJ" not in name else 5
        before, began, status = service.used(attacked.pid), time.monotonic(), 0
        for _ in range(times):
            connection = HTTPConnection("127.0.0.1", attacked.port, timeout=120)
            connection.request("POST", path, body, {**JSON, **headers})
            answer = connection.getresponse()
            size, status = len(answer.read()), answer.status
            connection.close()
        cost = (service.used(attacked.pid) - before) / times * 1000
        took = (time.monotonic() - began) / times * 1000
        print(f"{name:40} {status}  {cost:8.1f} ms of CPU  {took:8.1f} ms  answer {size} bytes", flush=True)
    before_memory = memory(attacked.pid)
    for _ in range(50):
        attacked_by = HTTPConnection("127.0.0.1", attacked.port, timeout=120)
        attacked_by.request("POST", "/auth/login", HOSTILE["a megabyte of unknown fields"][1], JSON)
        attacked_by.getresponse().read()
        attacked_by.close()
    print(f"memory after 50 megabytes of unknown fields: {memory(attacked.pid) - before_memory:+.0f} MiB", flush=True)


def memory(pid: int) -> float:
    """Return the resident memory of a gunicorn's processes, in MiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children)
    return pages * os.sysconf("SC_PAGESIZE") / MEGABYTE


# --- silence ----------------------------------------------------------------------------------------------------------


@contextmanager
def own_cluster() -> Iterator[tuple[str, list[int]]]:
    """Run a PostgreSQL of its own; its URL, and how to find its processes."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        sys.exit("There is no PostgreSQL to run here.")
    folder, port = Path(tempfile.mkdtemp(prefix="authsvc-hostile-")), service.free_port()
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    quietly: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [*user, programs[-1] / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust"], check=True, **quietly
    )
    options = [*("-p", str(port)), *("-k", str(folder)), *("-c", "fsync=off")]
    running = subprocess.Popen([*user, programs[-1] / "postgres", "-D", folder / "data", *options], **quietly)
    try:
        time.sleep(3)
        yield f"postgres://postgres@127.0.0.1:{port}/postgres", [running.pid]
    finally:
        os.system(f"pkill -CONT -P {running.pid}")
        running.send_signal(signal.SIGCONT)
        running.send_signal(signal.SIGINT)
        running.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def silence() -> None:
    """Freeze the database for 30 seconds under the calls of others."""
    with own_cluster() as (url, (pid,)):
        os.environ["DATABASE_URL"] = url
        with target() as attacked:
            verify, live = attacked.others()
            ready = Probe(attacked.port, "/readyz", {})
            time.sleep(2)
            for each in [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]:
                os.kill(each, signal.SIGSTOP)
            time.sleep(30)
            for each in [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()), pid]:
                os.kill(each, signal.SIGCONT)
            thawed = time.monotonic()
            service.wait_for(attacked.port)
            back = time.monotonic() - thawed
            felt = [each.end() for each in (verify, live, ready)]
    told(
        "PostgreSQL frozen for 30 s", felt[0], felt[1], f"readyz worst {felt[2].worst:.0f} ms, back after {back:.1f} s"
    )
    print(f"{'':34} worst answer {felt[0].worst:.0f} ms")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["slow", "flood", "work", "silence"]
    attacks = {"slow": slow, "flood": flood, "work": work}
    if wanted := [name for name in chosen if name in attacks]:
        with target() as served:
            for name in wanted:
                print(f"--- {name}", flush=True)
                attacks[name](served)
    if "silence" in chosen:
        print("--- silence", flush=True)
        silence()
