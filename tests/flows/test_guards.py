"""docs/guard-your-service.md: each example runs as it stands there, in front of a service, and asks a real authsvc."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.deploy.gateways import NGINX, program
from tests.flows import tour
from tests.flows.conftest import PASSWORD, ROOT, Server, bearer, eventually, free_port, new_name
from tests.flows.proxy import Proxy

PAGE = (ROOT / "docs" / "guard-your-service.md").read_text(encoding="utf-8")
AUTHSVC = "127.0.0.1:8000"
CHALLENGE = 'Bearer realm="authsvc", ApiKey realm="authsvc"'
SCOPE = "reports:read"

# What a reader has around the example: a service that answers /reports with what the guard says of the caller.
DJANGO = """
from django.conf import settings

settings.configure(MIDDLEWARE=["guard.AuthsvcMiddleware"], ROOT_URLCONF="app", SECRET_KEY="-", ALLOWED_HOSTS=["*"])

from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

urlpatterns = [path("reports", lambda request: JsonResponse(request.identity))]
application = get_wsgi_application()
"""
NODE = """
import http from "node:http";
import { guard } from "./guard.mjs";

http.createServer((req, res) => guard(req, res, () => res.end(JSON.stringify(req.identity)))).listen(PORT, "127.0.0.1");
"""
HEADERS = """
import json

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    told = {"subject": environ.get("HTTP_X_AUTH_SUBJECT"), "scopes": environ.get("HTTP_X_AUTH_SCOPES", "").split()}
    return [json.dumps(told).encode()]
"""
GO = """
package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"example.com/app/guard"
)

func main() {
	http.Handle("/reports", guard.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scopes := strings.Fields(r.Header.Get("X-Auth-Scopes"))
		json.NewEncoder(w).Encode(map[string]any{"subject": r.Header.Get("X-Auth-Subject"), "scopes": scopes})
	})))
	http.ListenAndServe("127.0.0.1:PORT", nil)
}
"""
PYTHON = [sys.executable, "-m"]
GUNICORN = [*PYTHON, "gunicorn", "--bind=127.0.0.1:PORT"]
UVICORN = [*PYTHON, "uvicorn", "--port=PORT", "app:app"]
# For each kind: the example's file, the other files, the programs to run, and the one that has to be installed.
KINDS: dict[str, tuple[str, str, dict[str, str], list[list[str]], str]] = {
    "Django": ("python", "guard.py", {"app.py": DJANGO}, [[*GUNICORN, "app:application"]], sys.executable),
    "FastAPI": ("python", "app.py", {}, [UVICORN], sys.executable),
    "Express": ("js", "guard.mjs", {"app.mjs": NODE}, [["node", "app.mjs"]], "node"),
    "Go": (
        "go",
        "guard/guard.go",
        {"main.go": GO, "go.mod": "module example.com/app\n\ngo 1.21\n"},
        [["go", "run", "."]],
        "go",
    ),
    "nginx": (
        "nginx",
        "authsvc.conf",
        {"app.py": HEADERS, "nginx.conf": NGINX},
        [
            [*PYTHON, "gunicorn", "--bind=127.0.0.1:BEHIND", "app:application"],
            [str(program("nginx")), "-e", "stderr", "-p", "FOLDER", "-c", "FOLDER/nginx.conf"],
        ],
        "nginx",
    ),
}


def example(heading: str, language: str) -> str:
    """Return the first block of a language below a heading of the page."""
    found = tour.FENCE.finditer(tour.section(PAGE, heading))
    return next(block["content"] for block in found if block["language"] == language)


def replaced(text: str, words: dict[str, str]) -> str:
    """Return a text with each word replaced."""
    for word, value in words.items():
        text = text.replace(word, value)
    return text


class Guarded:
    """A service with the guard of the page, which reaches authsvc through ``proxy``; ``get`` calls it."""

    def __init__(self, kind: str, folder: Path, proxy: Proxy) -> None:
        language, name, others, commands, _ = KINDS[kind]
        self.proxy, self.port, self.behind = proxy, free_port(), free_port()
        code = example(kind, language)
        assert AUTHSVC in code
        code = code.replace(AUTHSVC, f"127.0.0.1:{proxy.port}")
        code = code.replace("listen 8080;", f"listen 127.0.0.1:{self.port};").replace(
            "127.0.0.1:9000", f"127.0.0.1:{self.behind}"
        )
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
        words = {"PORT": str(self.port), "BEHIND": str(self.behind), "FOLDER": str(folder)}
        for other, text in others.items():
            written = text.format(folder=folder) if text == NGINX else text.replace("PORT", words["PORT"])
            (folder / other).write_text(written)
        client = str(ROOT / "clients" / "python" / "src")
        environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
        self.processes, self.log = [], folder / "log"
        with self.log.open("w") as log:
            for command in commands:
                program_and_arguments = [replaced(part, words) for part in command]
                self.processes.append(
                    subprocess.Popen(
                        program_and_arguments,
                        cwd=folder,
                        env={**environment, "PYTHONPATH": client},
                        stdout=log,
                        stderr=log,
                    )
                )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def is_ready(self) -> bool:
        """Say whether it rejects a request without a credential by now; a process that has ended will not."""
        assert all(process.poll() is None for process in self.processes), self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if len(self.processes) > 1:
                self.http.get(f"http://127.0.0.1:{self.behind}/")  # the service behind nginx, as it starts by itself
            return self.get().status_code == 401
        return False

    def get(self, **headers: str | bytes) -> httpx.Response:
        """Call the guarded route."""
        return self.http.get("/reports", headers={name.replace("_", "-"): value for name, value in headers.items()})

    def stop(self) -> None:
        """End it."""
        self.http.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)


@pytest.fixture(scope="module", params=KINDS)
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: Server
) -> Iterator[Guarded]:
    """Each guard in turn."""
    needed = KINDS[request.param][-1]
    if program(needed) is None:
        pytest.skip(f"no {needed}")
    with Proxy("127.0.0.1", server.port) as proxy, contextlib.ExitStack() as stack:
        started = Guarded(request.param, tmp_path_factory.mktemp("guarded"), proxy)
        stack.callback(started.stop)
        eventually(started.is_ready)
        yield started


@pytest.fixture(scope="module")
def reader(server: Server) -> SimpleNamespace:
    """Somebody who may read reports: subject, a token, and ``key`` to make keys."""
    name = new_name()
    server.sign_up(name)
    assert server.manage("grant_role", name, f"role-{name}", "--scope", SCOPE).returncode == 0
    token = server.http.post("/auth/login", json={"username": name, "password": PASSWORD}).json()["access_token"]

    def key(**fields: Any) -> tuple[int, str]:
        made = server.http.post("/keys/create", json={"name": "k", **fields}, headers=bearer(token)).json()
        return made["id"], made["key"]

    subject = str(server.http.get("/auth/me", headers=bearer(token)).json()["id"])
    return SimpleNamespace(subject=subject, token=token, key=key)


def test_a_good_credential_passes_and_says_who_it_is(guarded: Guarded, reader: SimpleNamespace) -> None:
    _, key = reader.key(scopes=[SCOPE])
    for headers in ({"x_api_key": key}, {"authorization": f"Bearer {reader.token}"}):
        answer = guarded.get(**headers, x_auth_subject="1", x_auth_scopes="admin")
        assert (answer.status_code, answer.json()) == (200, {"subject": reader.subject, "scopes": [SCOPE]})


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"x_api_key": "sk_junk"}, id="a bad key"),
        pytest.param({"authorization": "Bearer junk"}, id="a bad token"),
        pytest.param({"x_api_key": b"sk_\xe9"}, id="a key beyond ASCII"),
        pytest.param({"x_auth_subject": "1", "x_auth_scopes": SCOPE}, id="an identity of the client's own"),
    ],
)
def test_no_usable_credential_is_a_401_with_the_challenge(guarded: Guarded, headers: dict[str, str | bytes]) -> None:
    answer = guarded.get(**headers)
    challenge = CHALLENGE
    if "authorization" in headers:
        challenge = challenge.replace('authsvc", A', 'authsvc", error="invalid_token", A')
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)


def test_a_key_without_the_scope_is_a_403(guarded: Guarded, reader: SimpleNamespace) -> None:
    assert guarded.get(x_api_key=reader.key()[1]).status_code == 403


def test_a_revoked_key_fails_at_the_next_request(guarded: Guarded, reader: SimpleNamespace, server: Server) -> None:
    number, key = reader.key(scopes=[SCOPE])
    assert guarded.get(x_api_key=key).status_code == 200
    assert server.http.delete(f"/keys/{number}", headers=bearer(reader.token)).status_code == 204
    assert guarded.get(x_api_key=key).status_code == 401


def test_a_used_up_rate_limit_is_a_429_that_says_when_to_retry(guarded: Guarded, reader: SimpleNamespace) -> None:
    _, key = reader.key(scopes=[SCOPE], rate_limit="1/hour")
    assert guarded.get(x_api_key=key).status_code == 200
    answer = guarded.get(x_api_key=key)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 3000) == (429, True)


def test_connections_to_authsvc_are_reused(guarded: Guarded, reader: SimpleNamespace) -> None:
    _, key = reader.key(scopes=[SCOPE])
    assert guarded.get(x_api_key=key).status_code == 200
    before = len(guarded.proxy.sockets)
    statuses = [guarded.get(x_api_key=text).status_code for _ in range(4) for text in (key, "sk_junk")]
    assert (statuses, len(guarded.proxy.sockets)) == ([200, 401] * 4, before)


def test_an_authsvc_that_is_away_or_silent_is_a_503(
    request: pytest.FixtureRequest, guarded: Guarded, reader: SimpleNamespace
) -> None:
    _, key = reader.key(scopes=[SCOPE])
    assert guarded.get(x_api_key=key).status_code == 200
    guarded.proxy.swallows = guarded.proxy.muted = True
    request.addfinalizer(lambda: restore(guarded))
    assert guarded.get(x_api_key=key).status_code == 503
    guarded.proxy.cut()
    assert guarded.get(x_api_key=key).status_code == 503


def restore(guarded: Guarded) -> None:
    """Let the guard reach authsvc again, and wait until it does."""
    guarded.proxy.restore()
    eventually(guarded.is_ready)


@pytest.fixture
def verify(launch: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The function of the page that verifies by the public keys, and a server that signs with one."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    signing = launch(JWT_ALGORITHM="ES256")
    assert signing.manage("rotate_signing_key", "--at-once").returncode == 0
    return SimpleNamespace(server=signing, status=lambda token: verifier(signing.port)(token)[0], port=signing.port)


def verifier(port: int) -> Callable[[str], tuple[int, dict[str, Any]]]:
    """Return the page's function, for an authsvc on a port."""
    names: dict[str, Any] = {}
    exec(example("By the public keys", "python").replace(AUTHSVC, f"127.0.0.1:{port}"), names)
    found: Callable[[str], tuple[int, dict[str, Any]]] = names["verify"]
    return found


def test_the_public_keys_tell_a_good_token_from_others(verify: SimpleNamespace) -> None:
    name = new_name()
    scopeless = verify.server.sign_up(name)
    assert verify.server.manage("grant_role", name, f"role-{name}", "--scope", SCOPE).returncode == 0
    tokens = verify.server.http.post("/auth/login", json={"username": name, "password": PASSWORD}).json()
    token = tokens["access_token"]
    head, body, signature = token.split(".")
    forged = f"{head}.{body}.{signature[:-8]}AAAAAAAA"
    status, claims = verifier(verify.port)(token)
    assert (status, claims["scope"], claims["iss"]) == (200, SCOPE, "authsvc")
    asked = (scopeless, forged, tokens["refresh_token"], "junk", "")
    assert [verify.status(other) for other in asked] == [403, 401, 401, 401, 401]


def test_by_the_public_keys_a_revoked_token_passes_until_it_expires(verify: SimpleNamespace, server: Server) -> None:
    name = new_name()
    token = verify.server.sign_up(name)
    assert verify.server.http.delete("/auth/sessions", headers=bearer(token)).status_code == 204
    assert (verify.server.http.get("/auth/me", headers=bearer(token)).status_code, verify.status(token)) == (401, 403)
    # Under HS256 no key is published, so nothing can be said of a token; nor where nobody answers.
    assert [verifier(port)(token)[0] for port in (server.port, free_port())] == [503, 503]


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_lines_that_mount_the_guard_in_express_are_javascript(tmp_path: Path) -> None:
    _, block = (found["content"] for found in tour.FENCE.finditer(tour.section(PAGE, "Express")))
    (tmp_path / "mount.mjs").write_text(block)
    checked = subprocess.run(["node", "--check", tmp_path / "mount.mjs"], capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_the_go_example_keeps_the_rules_of_the_page() -> None:
    code = example("Go", "go")
    rules = ("Timeout:", "IdleConnTimeout: 10 *", "http.ErrUseLastResponse", "Body.Close()", ", 503)", "status = 503")
    assert [rule for rule in rules if rule not in code] == []
    assert [code.count(mark) for mark in "{(["] == [code.count(mark) for mark in "})]"]
