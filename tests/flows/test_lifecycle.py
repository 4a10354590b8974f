"""How the server starts, reloads and stops."""

import json
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.flows.conftest import GUNICORN, PASSWORD, Server, eventually, new_name
from tests.flows.raw import Connection, request

TOO_SHORT = "0123456789abcdef0123456789abcde"  # 31 characters


@pytest.mark.parametrize(
    "command",
    [pytest.param(GUNICORN, id="gunicorn"), pytest.param([GUNICORN[0], "manage.py", "check"], id="manage.py")],
)
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        pytest.param(
            {"SECRET_KEY": ""}, "SECRET_KEY is missing: set it to at least 32 random characters.", id="no SECRET_KEY"
        ),
        pytest.param(
            {"SECRET_KEY": TOO_SHORT},
            "SECRET_KEY is too short: it needs at least 32 characters.",
            id="short SECRET_KEY",
        ),
        pytest.param(
            {"SECRET_KEY_FILE": "/nowhere/key"},
            "SECRET_KEY_FILE names a file that cannot be read (FileNotFoundError).",
            id="SECRET_KEY_FILE that is not there",
        ),
        pytest.param(
            {"WEB_CONCURRENCY": "0"},
            "WEB_CONCURRENCY must be a whole number from 1 to 256, not '0'.",
            id="WEB_CONCURRENCY of zero",
        ),
        pytest.param(
            {"THREADS": "many"},
            "THREADS must be a whole number from 1 to 256, not 'many'.",
            id="THREADS that is no number",
        ),
        pytest.param(
            {"PORT": "http"}, "PORT must be a whole number from 1 to 65535, not 'http'.", id="PORT in letters"
        ),
        pytest.param({"DEBUG": "maybe"}, "DEBUG must be true or false, not 'maybe'.", id="DEBUG undecided"),
        pytest.param(
            {"DATABASE_URL": "mysql://root:hunter2@db/x"},
            "DATABASE_URL must be a URL that starts with postgres://, postgresql://, sqlite://.",
            id="DATABASE_URL of another kind",
        ),
    ],
)
def test_a_wrong_setting_ends_the_process_with_one_sentence_that_names_it(
    tmp_path: Path, command: list[str], environment: dict[str, str], sentence: str
) -> None:
    ended = Server(tmp_path, f"sqlite:///{tmp_path}/x.sqlite3", **environment).run(command)
    assert ended.stderr.splitlines() == [f"authsvc: {sentence}"]
    assert (ended.returncode, ended.stdout) == (1, "")


def test_an_empty_variable_means_its_default_for_the_server_too(launch: Callable[..., Server]) -> None:
    server = launch(THREADS="", LOG_LEVEL="")
    assert server.http.get("/livez").json() == {"status": "ok"}
    assert len(server.workers()) in {1, 2}


def test_a_secret_in_a_file_signs_the_tokens(launch: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the same secret for two processes\n")
    one, two = (launch(SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path / "key")) for _ in range(2))
    token = one.sign_up(name := new_name())
    answer = two.http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["username"]) == (200, name)


def test_a_token_of_another_secret_is_refused(launch: Callable[..., Server]) -> None:
    one, two = launch(), launch()
    token = one.sign_up(new_name())
    answers = [server.http.get("/auth/me", headers={"Authorization": f"Bearer {token}"}) for server in (one, two)]
    assert [answer.status_code for answer in answers] == [200, 401]


def test_the_server_listens_on_the_loopback_address_alone(server: Server) -> None:
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{server.port:04X}")]
    assert listening == [f"0100007F:{server.port:04X}"]


def test_a_stop_lets_a_request_in_flight_finish(launch: Callable[..., Server]) -> None:
    server, name = launch(), new_name()
    body = json.dumps({"email": f"{name}@example.com", "username": name, "password": PASSWORD}).encode()
    with Connection(server.port) as connection:
        headers = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Expect: 100-continue")
        connection.send(request("POST", "/auth/signup", *headers))
        assert connection.answer().status == 100  # so the worker is at it, and waits for the body
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Handling signal: term" in server.log.read_text())
        connection.send(body)
        answer = connection.answer()
    assert (answer.status, json.loads(answer.body)["username"]) == (201, name)
    assert server.process.wait(40) == 0


def test_a_stop_leaves_no_process_behind(launch: Callable[..., Server]) -> None:
    server = launch(WEB_CONCURRENCY="2")
    workers = server.workers()
    assert len(workers) == 2
    assert server.stop() == 0
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


def test_a_worker_that_is_killed_is_replaced(launch: Callable[..., Server]) -> None:
    server = launch()
    (killed,) = server.workers()
    os.kill(killed, signal.SIGKILL)
    (replaced,) = eventually(lambda: server.workers() - {killed})
    assert replaced != killed
    assert server.http.get("/readyz").status_code == 200


def test_a_reload_loses_no_request(launch: Callable[..., Server]) -> None:
    server = launch(WEB_CONCURRENCY="2")
    before, enough, statuses = server.workers(), threading.Event(), []

    def call(connection: str) -> None:
        with httpx.Client(base_url=server.url, trust_env=False, headers={"Connection": connection}) as http:
            while not enough.wait(0.005):
                statuses.append(http.get("/livez").status_code)

    with ThreadPoolExecutor() as pool:
        callers = [pool.submit(call, connection) for connection in ("close", "close", "keep-alive")]
        eventually(lambda: len(statuses) > 20)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(server.workers()) == 2 and not server.workers() & before)
        reloaded = len(statuses)
        eventually(lambda: len(statuses) > reloaded + 20)
        enough.set()
    assert [caller.exception(60) for caller in callers] == [None, None, None]
    assert set(statuses) == {200}


@pytest.mark.own_server
def test_as_many_processes_as_cores_keep_one_each_and_a_new_one_takes_the_place_of_one_that_died(
    launch: Callable[..., Server],
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    server = launch(WEB_CONCURRENCY=str(len(cores)))

    def kept() -> list[list[int]]:
        return sorted(sorted(os.sched_getaffinity(pid)) for pid in server.workers())

    assert kept() == [[core] for core in cores]
    for gone in server.workers():
        os.kill(gone, signal.SIGKILL)
        eventually(lambda: gone not in server.workers() and len(server.workers()) == len(cores))  # noqa: B023  it is called here
        eventually(lambda: kept() == [[core] for core in cores])
    assert server.is_ready()
