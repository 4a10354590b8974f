"""Counts over several processes, and a log of which every line is JSON and none a credential."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.flows.conftest import PASSWORD, Server, bearer, eventually, new_name, open_files


def count(server: Server, name: str, **labels: str) -> float:
    """Return one count as a scrape tells it; a scrape asks whichever process answers."""
    text = server.http.get("/metrics", headers={"Connection": "close"}).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_every_process_tells_what_all_have_counted(launch: Callable[..., Server]) -> None:
    server = launch(WEB_CONCURRENCY="2")
    asked = set()
    for _ in range(60):
        with server.http.stream("GET", "/livez", headers={"Connection": "close"}) as answer:
            asked.add(answer.status_code)
    assert asked == {200}
    told = {count(server, "authsvc_requests_total", route="/livez", status="200") for _ in range(10)}
    assert told == {60.0}


def test_what_a_killed_process_has_counted_stays(launch: Callable[..., Server]) -> None:
    server = launch(WEB_CONCURRENCY="2")
    for _ in range(60):
        server.http.get("/livez", headers={"Connection": "close"})
    for worker in server.workers():
        os.kill(worker, 9)
    eventually(lambda: len(server.workers()) == 2 and server.is_ready())
    assert count(server, "authsvc_requests_total", route="/livez", status="200") == 60


def test_counts_outlive_six_reloads_and_do_not_grow(launch: Callable[..., Server]) -> None:
    server = launch()
    for _ in range(7):
        server.http.get("/livez", headers={"Connection": "close"})
    lines = []
    for _ in range(6):
        before = server.workers()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda before=before: server.workers() and not server.workers() & before and server.is_ready())
        lines.append(server.http.get("/metrics", headers={"Connection": "close"}).text.count("\n"))
        assert count(server, "authsvc_requests_total", route="/livez", status="200") == 7
    assert lines[1:] == lines[1:2] * 5


def test_nothing_is_kept_in_the_temporary_folder_so_none_can_fill_up_or_be_left(
    launch: Callable[..., Server], tmp_path: Path
) -> None:
    server = launch(TMPDIR=str(tmp_path), WEB_CONCURRENCY="2")
    server.http.get("/metrics")
    processes = {server.process.pid, *server.workers()}
    assert list(tmp_path.iterdir()) == []
    assert [name for pid in processes for name in open_files(pid) if name.startswith(str(tmp_path))] == []


def test_a_killed_first_process_leaves_nothing_behind(
    server: Server, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    running = Server(tmp_path_factory.mktemp("server"), server.database_url, TMPDIR=str(tmp_path))
    running.start()
    running.http.get("/metrics")
    workers = running.workers()
    running.process.kill()
    running.process.wait(40)
    running.http.close()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert list(tmp_path.iterdir()) == []


def test_every_line_of_the_log_is_json_and_none_holds_a_secret(launch: Callable[..., Server]) -> None:
    server = launch(LOG_LEVEL="DEBUG", EMAIL_URL="smtp://127.0.0.1:9")
    name = new_name()
    token = server.sign_up(name)
    key_id, key = server.make_key(token)
    http = server.http
    pair = http.post("/auth/login", json={"username": name, "password": PASSWORD}).json()
    new = http.post(f"/keys/{key_id}/rotate", headers={"x-api-key": key}).json()["key"]
    exchanged = http.post("/auth/token", headers={"x-api-key": new}).json()["access_token"]
    http.get(f"/{key}?token={token}", headers=bearer(exchanged))
    http.get("/auth/verify", headers={"x-api-key": f"{key}x", "Authorization": f"Basic {key}"})
    http.post("/auth/login", json={"username": PASSWORD, "password": key})
    http.post("/auth/login", content=f'{{"password": "{PASSWORD}"')
    http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    http.post("/auth/password/reset", json={"email": f"{name}@example.com"})
    http.post("/keys/report", json={"key": new})
    assert server.stop() == 0
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"level", "logger", "message", "timestamp", "request_id"} <= lines[-1].keys()
    secrets = [PASSWORD, token, key, new, exchanged, *(pair[kind] for kind in ("access_token", "refresh_token"))]
    assert len([line for line in lines if line["message"] == "request"]) > 10
    assert [secret for secret in secrets if secret in log or secret.rpartition(".")[2] in log] == []
