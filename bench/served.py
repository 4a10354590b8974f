"""What the guarded routes cost over HTTP beside the least that they could: ratios, and latencies at full and half load.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/served.py [rounds] [seconds]

Makes a database of its own beside the one named, and drops it. The floor (floor.py, under gunicorn's own gthread and
under the project's worker) and the project take turns, each with two processes of eight threads; each figure is the
median over the rounds. The latency at half load is taken at half of what each did at full load, and counts from when a
request was due; it is compared with the floor's under the project's worker, for gthread sends an answer in two pieces,
the second of which may wait for a client's late acknowledgement.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from json import loads
from pathlib import Path

import load
import service

FLOOR, SAME_WORKER = "floor: one prepared SELECT", "floor: the same, the project's worker"
WORKERS = {SAME_WORKER: "authsvc.server.worker.Worker"}  # of the floors; the others have gunicorn's own
PORT = 8181


def main(rounds: int, seconds: float) -> None:
    """Set up, take turns, print."""
    with service.own_database() as url:
        environment = service.variables(url, WEB_CONCURRENCY="2", PORT=str(PORT), LOG_LEVEL="ERROR")
        service.manage(environment, "migrate", "-v0")
        with service.served(environment):
            token, key = credentials()
        routes = {
            "floor: a view that does nothing": ("/nothing", ""),
            FLOOR: ("/select", f"X-API-Key: {key}"),
            SAME_WORKER: ("/select", f"X-API-Key: {key}"),
            "/auth/verify: key": ("/auth/verify", f"X-API-Key: {key}"),
            "/auth/verify: token": ("/auth/verify", f"Authorization: Bearer {token}"),
            "/protected/service: key": ("/protected/service", f"X-API-Key: {key}"),
            "/protected/user: token": ("/protected/user", f"Authorization: Bearer {token}"),
        }
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in routes}
        for number in range(rounds):
            for name, (path, header) in routes.items():
                own = name.startswith("floor")
                server = floor(environment, WORKERS.get(name, "gthread")) if own else service.served(environment)
                print(f"round {number + 1} of {rounds}: {name:40s}", end="\r", file=sys.stderr)
                with server as pid:
                    found[name].append(measure(pid, path, header, seconds))
        tell(found)


def credentials() -> tuple[str, str]:
    """Make a user, a session and a key; return an access token and the key."""
    who = '"username": "bench", "password": "correct-horse-battery"'
    post("/auth/signup", f'{{{who}, "email": "bench@example.com"}}')
    token = post("/auth/login", f"{{{who}}}")["access_token"]
    return token, post("/keys", '{"name": "bench"}', {"Authorization": f"Bearer {token}"})["key"]


def post(path: str, body: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    """Return what an answer says."""
    connection = HTTPConnection("127.0.0.1", PORT)
    connection.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})
    answer: dict[str, str] = loads(connection.getresponse().read())
    return answer


@contextmanager
def floor(environment: dict[str, str], worker: str) -> Iterator[int]:
    """Serve the floor by a kind of worker; the id of gunicorn's first process."""
    options = (
        "-b",
        f"127.0.0.1:{PORT}",
        "-w2",
        f"-k{worker}",
        "--threads=8",
        "--no-control-socket",
        "--log-level=warning",
        f"--pythonpath={service.ROOT}",
    )
    folder = Path(__file__).parent
    server = subprocess.Popen([sys.executable, "-m", "gunicorn", *options, "floor"], cwd=folder, env=environment)
    try:
        service.wait_for(PORT, "/nothing")
        yield server.pid
    finally:
        server.terminate()
        server.wait(40)


def measure(pid: int, path: str, header: str, seconds: float) -> tuple[float, ...]:
    """Return requests a second, microseconds of the server's CPU for each, p50 and p99 there, p50 and p99 at half."""
    requests = [load.get(path, header)]
    load.run(PORT, requests, 1)
    before = service.used(pid)
    full = load.run(PORT, requests, seconds)
    cost = (service.used(pid) - before) / (full.rate * seconds) * 1e6
    half = load.run(PORT, requests, seconds, full.rate / 2)
    return full.rate, cost, full.p50, full.p99, half.p50, half.p99


def tell(found: dict[str, list[tuple[float, ...]]]) -> None:
    """Print the medians, and what they are beside the floor's."""
    print(
        f"{'':38s}{'a second':>9s} {'us CPU':>7s} {'p50':>7s} {'p99':>7s}   half load {'p50':>6s} {'p99':>7s}   beside"
    )
    for name, rows in found.items():
        rate, cost, *latencies = (statistics.median(column) for column in zip(*rows, strict=True))
        pairs = list(zip(rows, found[FLOOR], strict=True))
        faster = statistics.median(ours[0] / theirs[0] for ours, theirs in pairs)
        leaner = statistics.median(theirs[1] / ours[1] for ours, theirs in pairs)
        later = statistics.median(ours[5] / theirs[5] for ours, theirs in zip(rows, found[SAME_WORKER], strict=True))
        p50, p99, half50, half99 = latencies
        print(
            f"{name:38s}{rate:9.0f} {cost:7.0f} {p50:7.1f} {p99:7.1f}   {half50:16.1f} {half99:7.1f}   "
            f"{faster:.2f} by throughput, {leaner:.2f} by CPU, p99 at half load {later:.1f} x"
        )


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    main(int(given[0]) if given else 3, given[1] if len(given) > 1 else 3)
