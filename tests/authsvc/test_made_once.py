"""What a process makes once, when several of its first requests ask for it at the same time."""

from __future__ import annotations

import json

import pytest

from tests.authsvc.conftest import run

TOGETHER = """
import json, sys, threading
import authsvc.wsgi
from io import BytesIO

sys.setswitchinterval(1e-6)
path, threads = sys.argv[1], 12
ready, found = threading.Barrier(threads), []

def ask():
    ready.wait(60)
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
    }
    response = authsvc.wsgi.application(environ, lambda status, headers: None)
    found.append([response.status_code, len(b"".join(response))])
    response.close()

asking = [threading.Thread(target=ask) for _ in range(threads)]
for thread in asking: thread.start()
for thread in asking: thread.join(60)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database of SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('once')}/db.sqlite3"
    assert run("manage.py", "migrate", "-v0", DATABASE_URL=url).returncode == 0
    return url


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/readyz", "/metrics", "/docs", "/admin/login/", "/.well-known/jwks.json"]
)
def test_the_first_requests_of_a_process_get_the_same_answer_at_the_same_time(database: str, path: str) -> None:
    done = run("-c", TOGETHER, path, DATABASE_URL=database)
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [status for status, _ in answers] == [200] * 12, done.stderr[-2000:]
    if path == "/openapi.json":
        assert len({length for _, length in answers}) == 1


def test_the_document_is_there_before_the_first_request(database: str) -> None:
    code = "import authsvc.wsgi; from authsvc.api import docs; print(docs._routes.cache_info().currsize)"
    done = run("-c", code, DATABASE_URL=database)
    assert done.stdout.splitlines()[-1:] == ["1"], done.stderr[-2000:]
