"""Commands whose output goes nowhere: a secret that nobody could read has not become one."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Any

import pytest

from tests.flows.conftest import Server, bearer, new_name

# Each with the words that its sentence has.
NOWHERE = [
    pytest.param(">/dev/full", "No space left on device", id="full"),
    pytest.param(">&-", "not writable", id="closed"),
    pytest.param("| true", "Broken pipe", id="nobody reads"),
]
SENTENCE = "The result cannot be written to standard output: {}.\n"


def shell(server: Server, command: str, to: str) -> subprocess.CompletedProcess[str]:
    """Run a manage.py command in a shell, its output directed somewhere."""
    wait = "sleep 3; " if to.startswith("|") else ""  # until whoever would read has gone
    script = f"set -o pipefail; ({wait}{shlex.quote(sys.executable)} manage.py {command}) {to}"
    return server.run(["bash", "-c", script])


def opens(server: Server, key: str) -> int:
    """Return the status of a call with a key."""
    return server.http.get("/protected/service", headers={"X-API-Key": key}).status_code


@pytest.mark.parametrize(("to", "words"), NOWHERE)
def test_a_rotation_whose_secret_cannot_be_shown_has_not_been(server: Server, to: str, words: str) -> None:
    token = server.sign_up(new_name())
    key_id, key = server.make_key(token)
    before = server.http.get(f"/keys/{key_id}", headers=bearer(token)).json()
    ran = shell(server, f"rotate_api_key {key_id} --overlap 0", to)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", SENTENCE.format(words))
    assert server.http.get(f"/keys/{key_id}", headers=bearer(token)).json() == before
    assert opens(server, key) == 200


@pytest.mark.parametrize(("to", "words"), NOWHERE)
@pytest.mark.parametrize("json", ["", " --json"])
def test_a_key_that_cannot_be_shown_has_not_been_issued(server: Server, to: str, words: str, json: str) -> None:
    name = new_name()
    ran = shell(server, f"issue_api_key --service {name} --name x{json}", to)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", SENTENCE.format(words))
    assert server.manage("list_api_keys", "--user", name).stderr == f"There is no user '{name}'.\n"


@pytest.mark.parametrize(("to", "words"), NOWHERE)
def test_a_list_that_cannot_be_shown_is_one_sentence(server: Server, to: str, words: str) -> None:
    ran = shell(server, "list_api_keys", to)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", SENTENCE.format(words))


@pytest.mark.parametrize("to", [">&-", ">/dev/full"])
def test_a_command_without_a_result_needs_no_output(server: Server, to: str) -> None:
    key_id, key = server.make_key(server.sign_up(new_name()))
    ran = shell(server, f"revoke_api_key {key_id}", to)
    assert (ran.returncode, ran.stderr) == (0, f"Revoked key {key_id} (a key).\n")
    assert opens(server, key) == 401


@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full"])
def test_a_key_is_shown_also_where_nothing_else_can_be_told(server: Server, to: str) -> None:
    key_id, old = server.make_key(server.sign_up(new_name()))
    ran = shell(server, f"rotate_api_key {key_id} --overlap 0", to)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (opens(server, ran.stdout.strip()), opens(server, old)) == (200, 401)


@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full"])
def test_a_mistake_is_status_1_also_where_nothing_can_be_told(server: Server, to: str) -> None:
    ran: Any = shell(server, "rotate_api_key 999999999", to)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "")
