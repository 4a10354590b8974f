"""What a worker weighs and how soon it answers, beside a bare Django and DRF project under gunicorn too; as ratios.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/startup.py [rounds]

Makes a database of its own beside the one named, and drops it. The two take turns: each is started, timed until it
first answers 200, asked 1,000 times (the project with a key, by its one query; the bare one for nothing), and weighed.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import service

ROOT = service.ROOT
PORT, WORKERS, THREADS, REQUESTS = 8179, 2, 8, 1000
BARE = """
import django
from django.conf import settings
settings.configure(SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[],
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None})
django.setup()
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView
class Nothing(APIView):
    authentication_classes = permission_classes = []
    def get(self, request):
        return Response({"message": "ok"})
urlpatterns = [path("livez", Nothing.as_view())]
application = get_wsgi_application()
"""
PLAIN = ["-b", f"127.0.0.1:{PORT}", f"-w{WORKERS}", "-kgthread", f"--threads={THREADS}", "--log-level=warning"]


def main(rounds: int) -> None:
    """Set up, measure, print, clean up."""
    with service.own_database() as url, tempfile.TemporaryDirectory() as folder:
        os.environ |= service.variables(
            url, LOG_LEVEL="ERROR", PORT=str(PORT), WEB_CONCURRENCY=str(WORKERS), THREADS=str(THREADS)
        )
        Path(folder, "bare.py").write_text(BARE)
        compare(rounds, folder, prepare())


def prepare() -> str:
    """Fill the database and return a key."""
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, check=True)
    issue = [sys.executable, "manage.py", "issue_api_key", "--service", "bench", "--name", "bench"]
    return subprocess.run(issue, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def compare(rounds: int, folder: str, key: str) -> None:
    """Take turns and print medians beside the bare project's."""
    gunicorn = [sys.executable, "-m", "gunicorn"]
    bare, ours = [], []
    for number in range(rounds):
        bare.append(weigh([*gunicorn, "bare:application", *PLAIN], folder, "/livez", {}))
        ours.append(weigh([*gunicorn, "authsvc.wsgi"], str(ROOT), "/protected/service", {"X-API-Key": key}))
        print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
    for at, name in enumerate(("seconds to the first answer", "MiB of a worker, PSS", "MiB of a worker, RSS")):
        theirs, mine = (statistics.median(row[at] for row in rows) for rows in (bare, ours))
        ratio = statistics.median(mine[at] / bare_row[at] for mine, bare_row in zip(ours, bare, strict=True))
        print(f"{name:28s} bare {theirs:6.2f}   authsvc {mine:6.2f}   {ratio:4.2f} x")


def weigh(command: list[str], folder: str, path: str, headers: dict[str, str]) -> tuple[float, float, float]:
    """Start a server; return seconds to its first answer, and PSS and RSS of a worker after the requests, in MiB."""
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        while not answers():
            time.sleep(0.005)
            assert server.poll() is None, "the server has ended"
            assert time.perf_counter() - began < 60, "the server does not answer"
        took = time.perf_counter() - began
        for _ in range(REQUESTS // 50):  # a connection for every 50, so that each worker has its share
            ask(path, headers, 50)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert len(children) == WORKERS, children
        pss, rss = (statistics.mean(memory(pid, field) for pid in children) for field in ("Pss", "Rss"))
    finally:
        server.terminate()
        server.wait(40)
    return took, pss, rss


def answers() -> bool:
    """Say whether /livez answers 200 by now."""
    try:
        ask("/livez", {}, 1)
    except OSError:
        return False
    return True


def ask(path: str, headers: dict[str, str], times: int) -> None:
    """Make requests on one connection, each of which must succeed."""
    connection = HTTPConnection("127.0.0.1", PORT, timeout=10)
    for _ in range(times):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()


def memory(pid: str, field: str) -> float:
    """Return a line of a process's memory in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
