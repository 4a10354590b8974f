"""A process that was sent what nobody sends in good faith has its memory back afterwards, and goes on serving."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.flows.conftest import Server
from tests.hostile.inputs import VALUES

MEBIBYTE = 1024 * 1024
BODIES = [
    VALUES["members"], VALUES["too many members"], f'{{"username": {VALUES["texts"]}, "password": "x"}}',
    f'{{"username": {VALUES["letters"]}}}', VALUES["objects"], VALUES["ones"],
]  # fmt: skip


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) * 1024


def send(server: Server, body: str) -> tuple[int, int]:
    """Return the status and the length of the answer to a body."""
    headers = {"User-Agent": "eyJ" * 5000, "Content-Type": "application/json"}
    answer = server.http.post("/auth/login", content=body, headers=headers)
    return answer.status_code, len(answer.content)


def test_fifty_hostile_bodies_leave_no_memory_behind(launch: Callable[..., Server]) -> None:
    server = launch()
    (worker,) = server.workers()
    assert {status for status, _ in (send(server, "{}") for _ in range(10))} == {400}
    before = resident(worker)
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda number: send(server, BODIES[number % len(BODIES)]), range(50)))
    assert {status for status, _ in answers} == {400}
    assert max(length for _, length in answers) < 4096
    assert resident(worker) - before < 80 * MEBIBYTE
    assert server.workers() == {worker}


def test_the_same_bodies_again_need_no_more_memory_than_before(launch: Callable[..., Server]) -> None:
    server = launch()
    (worker,) = server.workers()
    sizes = []
    for _ in range(4):
        for body in BODIES * 3:
            send(server, body)
        sizes.append(resident(worker))
    assert sizes[-1] - sizes[0] < 24 * MEBIBYTE, sizes


@pytest.mark.parametrize(
    ("field", "status"),
    [
        pytest.param("Authorization: Bearer {}", 401, id="bearer"),
        pytest.param("X-API-Key: {}", 401, id="key"),
        pytest.param("X-Other: {}", 401, id="header that nobody reads"),
    ],
)
def test_a_header_field_has_16_kib_at_most(server: Server, field: str, status: int) -> None:
    name, _, prefix = field.partition(": ")
    room = 16 * 1024 - len(f"{name}: ") - len(prefix.format(""))
    answers = [
        server.http.get("/protected/any", headers={name: prefix.format("a" * size)}) for size in (room, room + 1)
    ]
    assert [answer.status_code for answer in answers] == [status, 431]
    assert answers[1].headers["Content-Type"] == "application/problem+json"
    assert answers[1].json()["title"] == "Request Header Fields Too Large"
