"""Four masters behind nginx, with one PostgreSQL, its replica and one Redis: what holds across them. Exits 1 where not.

    python bench/cluster.py [revocations]

Makes all of it anew on ports of its own: needs the programs of PostgreSQL, nginx and redis-server, and, as root, the
user postgres. Counts how many requests of one key pass its rate limit; who is let in after a revocation by the masters
on the primary; and by a master that reads from the replica, which the product does not do: with asynchronous
replication, the same 200 ms late as over a distance, and so late with synchronous_commit=remote_apply.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import service

from tests.flows.callers import calling
from tests.flows.revocations import KINDS, PASSWORD, answered, new_victim, revoke_under_load

MASTERS, LIMIT, CALLS, WINDOW, LANES = 4, 200, 600, 0.6, 3
SETTINGS = {"WEB_CONCURRENCY": "1", "BCRYPT_ROUNDS": "4", "LOG_LEVEL": "CRITICAL", "TRUSTED_PROXIES": "1"}
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr error; worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream authsvc {{ {servers} keepalive 32; keepalive_timeout 10s; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://authsvc; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""


class Cluster:
    """A PostgreSQL and its streaming replica, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, (service.free_port(), service.free_port())
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
        self.run("initdb", "--auth=trust", "--username=postgres", "-D", f"{folder}/0")
        self.start(0)
        url = f"postgres://postgres@127.0.0.1:{self.ports[0]}/postgres"
        self.run("pg_basebackup", "-d", url, "-D", f"{folder}/1", "-R", "-X", "stream")
        self.start(1)
        self.url = url

    def run(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        user = "postgres" if os.geteuid() == 0 else None
        command = [str(self.bin / name), *arguments]
        subprocess.run(command, cwd=self.folder, user=user, check=True, stdout=subprocess.DEVNULL)

    def start(self, number: int) -> None:
        """Start the primary (0) or the replica (1)."""
        options = f"-p {self.ports[number]} -h 127.0.0.1 -k {self.folder} -c max_connections=200"
        place = f"{self.folder}/{number}"
        self.run("pg_ctl", "-w", "-s", "-D", place, "-l", f"{place}.log", "-o", options, "start")

    def stop(self) -> None:
        """Stop the two, the replica first."""
        for number in (1, 0):
            self.run("pg_ctl", "-w", "-s", "-m", "fast", "-D", f"{self.folder}/{number}", "stop")

    def set(self, number: int, name: str, value: str) -> None:
        """Change a setting and have it read."""
        where = f"postgres://postgres@127.0.0.1:{self.ports[number]}/postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def nginx(masters: list[int]) -> Iterator[int]:
    """Run nginx before the masters; its port."""
    port, program = service.free_port(), shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        servers = " ".join(f"server 127.0.0.1:{master};" for master in masters)
        (Path(folder) / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, servers=servers))
        command = [str(program), "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf"]
        running = subprocess.Popen(command)
        try:
            service.wait_for(port)
            yield port
        finally:
            running.terminate()
            running.wait(10)


def main(times: int) -> None:
    """Set up, count, print, clean up."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = Cluster(folder)
        stack.callback(cluster.stop)
        redis = f"redis://127.0.0.1:{stack.enter_context(service.own_redis()).port}/0"
        url = stack.enter_context(service.own_database(cluster.url))
        environment = service.variables(url, **SETTINGS, REDIS_URL=redis, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
        service.manage(environment, "migrate", "-v0")
        who = ("--username", "operator", "--email", "operator@example.com", "-v0")
        service.manage(environment, "createsuperuser", "--noinput", *who)
        masters = [service.free_port() for _ in range(MASTERS)]
        for port in masters:
            stack.enter_context(service.served({**environment, "PORT": str(port)}))
        reader, standby = service.free_port(), url.replace(f":{cluster.ports[0]}/", f":{cluster.ports[1]}/")
        stack.enter_context(service.served({**environment, "PORT": str(reader), "DATABASE_URL": standby}))
        front = f"http://127.0.0.1:{stack.enter_context(nginx(masters))}"
        held = [limits(front), bound(front, times), replicas(cluster, front, reader, times)]
    sys.exit(0 if all(held) else 1)


def limits(front: str) -> bool:
    """Call with one limited key from all sides, three times its limit within its window; exactly the limit passes."""
    with httpx.Client(base_url=front, trust_env=False, timeout=60) as http, ThreadPoolExecutor(16) as pool:
        victim = new_victim(http)
        limited = {"name": "limited", "rate_limit": f"{LIMIT}/minute"}
        key = answered(http.post("/keys/create", json=limited, headers=victim.own), 201)["key"]
        began = time.monotonic()
        answers = pool.map(lambda _: http.get("/auth/verify", headers={"X-API-Key": key}).status_code, range(CALLS))
        found = Counter(answers)
    took = time.monotonic() - began
    print(f"limit of {LIMIT} a minute over {MASTERS} masters: {CALLS} calls in {took:.1f} s: {dict(found)}", flush=True)
    return found == {200: LIMIT, 429: CALLS - LIMIT} and took < 60


def bound(front: str, times: int) -> bool:
    """Revoke through nginx, which hands each request to the next master."""
    outcomes = revoke_under_load(front, "operator", times, lanes=LANES)
    after = sum((outcome.after for outcome in outcomes), Counter[int]())
    print(f"{times} revocations over {MASTERS} masters: of {after.total()} requests that began afterwards", end=" ")
    print(f"{after[200]} were let in; all answers: {dict(after)}", flush=True)
    return set(after) == {401}


def replicas(cluster: Cluster, front: str, reader: int, times: int) -> bool:
    """Revoke by the primary's masters what is shown to a master that reads from the replica, in three ways."""
    ways = {
        "asynchronous": ("", "on", "0"),
        "asynchronous, 200 ms late": ("", "on", "200ms"),
        "remote_apply, 200 ms late": ("*", "remote_apply", "200ms"),
    }
    for way, (names, commit, late) in ways.items():
        cluster.set(1, "recovery_min_apply_delay", late)
        cluster.set(0, "synchronous_standby_names", names)
        cluster.set(0, "synchronous_commit", commit)
        time.sleep(1)  # for both to have read it
        with ThreadPoolExecutor(LANES) as pool:
            found = list(pool.map(lambda number: behind(front, reader, number), range(times)))
        after, latest = sum((counts for counts, _ in found), Counter[int]()), max(moment for _, moment in found)
        print(f"{times} revocations, a reader on a replica ({way}): of {after.total()} requests that began", end=" ")
        print(f"afterwards {after[200]} were let in, the last {latest * 1000:.0f} ms afterwards", flush=True)
    return after[200] == 0


def behind(front: str, reader: int, number: int) -> tuple[Counter[int], float]:
    """Revoke once; what the replica's reader answered afterwards, and the seconds after which it last let one in."""
    kinds = [kind for kind in KINDS.values() if kind[2] in ("key", "token")]
    act, status, hits = kinds[number % len(kinds)]
    with httpx.Client(base_url=front, trust_env=False, timeout=60) as http:
        victim = new_victim(http)
        calls = victim.key_calls if hits == "key" else victim.token_calls
        with calling(reader, calls, 2) as callers:
            for caller in callers:
                while not any(seen == 200 for _, seen in caller.calls):
                    caller.wait_for(len(caller.calls) + 1)
            answer = act(http, victim)
            acknowledged = time.monotonic()
            assert answer.status_code == status, answer.text
            for caller in callers:
                caller.wait_for(3, acknowledged + WINDOW)
    late = [(began - acknowledged, seen) for caller in callers for began, seen in caller.calls if began > acknowledged]
    return Counter(seen for _, seen in late), max((moment for moment, seen in late if seen == 200), default=0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 70)
