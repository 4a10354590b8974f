"""manage.py issue_api_key, list_api_keys and revoke_api_key in processes of their own, beside a running server."""

import json
import re
import shlex
import sys
from typing import Any, NamedTuple

import pytest

from tests.conftest import BAD_CREDENTIAL
from tests.flows.conftest import Server, bearer, new_name

KEY = re.compile(r"sk_[0-9A-Za-z]{49}")


def opens(server: Server, key: str) -> int:
    """Return the status of a call with a key."""
    return server.http.get("/protected/service", headers={"X-API-Key": key}).status_code


class Person(NamedTuple):
    """Somebody who has signed up."""

    name: str
    token: str

    def keys(self, server: Server) -> Any:
        """Return this person's keys as the API lists them."""
        return server.http.get("/keys", headers=bearer(self.token)).json()


@pytest.fixture
def person(server: Server) -> Person:
    name = new_name()
    return Person(name, server.sign_up(name))


@pytest.fixture
def user(person: Person) -> str:
    return person.name


def test_the_key_alone_goes_to_stdout_and_works_at_once(server: Server, user: str) -> None:
    issued = server.manage("issue_api_key", "--user", user, "--name", "deploy")
    key = issued.stdout.removesuffix("\n")
    assert KEY.fullmatch(key)
    assert re.fullmatch(rf"Issued key \d+ \(deploy\) for {user}; it expires \S+Z\.\n", issued.stderr)
    assert (issued.returncode, opens(server, key)) == (0, 200)


def test_a_shell_takes_the_key_into_a_variable_and_calls_with_it(server: Server, user: str) -> None:
    manage = f"{shlex.quote(sys.executable)} manage.py"
    script = f"""
        set -euo pipefail
        KEY=$({manage} issue_api_key --user {user} --name "nightly export" 2>/dev/null)
        curl --noproxy '*' -fsS -H "x-api-key: $KEY" {server.url}/protected/service
        printf '%s' "$KEY" | {manage} revoke_api_key --key - --reason "the night is over" 2>/dev/null
        curl --noproxy '*' -sS -o /dev/null -w '\\n%{{http_code}}' -H "x-api-key: $KEY" {server.url}/protected/service
    """
    ran = server.run(["bash", "-c", script])
    assert (ran.returncode, ran.stderr) == (0, "")
    greeting, status = ran.stdout.splitlines()
    assert json.loads(greeting)["service"] == "nightly export"
    assert status == "401"


def test_json_prints_what_the_api_answers(server: Server, person: Person) -> None:
    issued = server.manage(
        "issue_api_key", "--user", person.name, "--name", "deploy", "--expires-in-days", "7", "--json"
    )
    body = json.loads(issued.stdout)
    assert opens(server, body.pop("key")) == 200
    (listed,) = person.keys(server)
    assert {**listed, "last_used_at": None} == body


def test_revocation_by_id_holds_at_the_next_request(server: Server, person: Person) -> None:
    key_id, key = server.make_key(person.token, "deploy")
    assert opens(server, key) == 200
    revoked = server.manage("revoke_api_key", str(key_id), "--reason", "left the company")
    assert (revoked.returncode, revoked.stdout, revoked.stderr) == (0, "", f"Revoked key {key_id} (deploy).\n")
    refused = server.http.get("/protected/service", headers={"X-API-Key": key})
    assert (refused.status_code, refused.json()) == (401, BAD_CREDENTIAL)

    again = server.manage("revoke_api_key", str(key_id))
    assert (again.returncode, again.stderr) == (0, f"Key {key_id} (deploy) was revoked before.\n")


def test_revocation_by_the_key_itself_holds_at_the_next_request(server: Server, person: Person) -> None:
    _, key = server.make_key(person.token)
    revoked = server.manage("revoke_api_key", "--key", "-", stdin=f"{key}\n")
    assert (revoked.returncode, revoked.stdout) == (0, "")
    assert key not in revoked.stderr
    assert opens(server, key) == 401


@pytest.fixture
def two_keys(server: Server, person: Person) -> dict[str, str]:
    """A key of each name: "active", and "revoked", which it is."""
    (_, active), (revoked_id, revoked) = (server.make_key(person.token, name) for name in ("active", "revoked"))
    assert server.http.delete(f"/keys/{revoked_id}", headers=bearer(person.token)).status_code == 204
    return {"active": active, "revoked": revoked}


def test_the_list_shows_status_and_prefix_and_no_secret(server: Server, user: str, two_keys: dict[str, str]) -> None:
    listed = server.manage("list_api_keys", "--user", user)
    heading, *rows = (line.split() for line in listed.stdout.splitlines())
    assert heading == ["id", "owner", "prefix", "status", "expires_at", "last_used_at", "name"]
    assert [(row[1], row[2], row[3], row[6]) for row in rows] == [
        (user, two_keys[status][:11], status, status) for status in ("revoked", "active")
    ]
    assert not [key for key in two_keys.values() if key in listed.stdout + listed.stderr]


@pytest.mark.usefixtures("two_keys")
@pytest.mark.parametrize(
    ("status", "names"),
    [("active", ["active"]), ("revoked", ["revoked"]), ("expired", [])],
    ids=str,
)
def test_the_list_can_be_narrowed_to_a_status(server: Server, user: str, status: str, names: list[str]) -> None:
    listed = server.manage("list_api_keys", "--user", user, "--status", status, "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == names
    assert (listed.returncode, listed.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ("issue_api_key", "--user", "nobody", "--name", "x"), "There is no user 'nobody'.", id="unknown user"
        ),
        pytest.param(("issue_api_key", "--user", "USER", "--name", " "), "A key needs a name.", id="no name"),
        pytest.param(
            ("issue_api_key", "--user", "USER", "--name", "x", "--scope", "no:such"),
            "There is no scope 'no:such'.",
            id="unknown scope",
        ),
        pytest.param(
            ("issue_api_key", "--user", "USER", "--name", "x", "--scope", "reports:read"),
            "A key cannot have a scope that its owner lacks.",
            id="scope that the owner lacks",
        ),
        pytest.param(
            ("issue_api_key", "--user", "USER", "--name", "x", "--expires-in-days", "0"),
            "A key lives from 1 to 3650 days.",
            id="no life",
        ),
        pytest.param(
            ("issue_api_key", "--user", "USER", "--name", "x", "--expires-in-days", "soon"),
            "--expires-in-days must be a whole number, not 'soon'.",
            id="life in words",
        ),
        pytest.param(
            ("revoke_api_key", "999999999"), "There is no API key with the id 999999999.", id="unknown key's id"
        ),
        pytest.param(
            ("revoke_api_key", "9" * 18), f"There is no API key with the id {'9' * 18}.", id="id out of all bounds"
        ),
        pytest.param(("revoke_api_key",), "Give either the key's ID or --key -.", id="neither id nor key"),
        pytest.param(
            ("revoke_api_key", "--key", "-"), "There is no API key like the one on standard input.", id="empty stdin"
        ),
        pytest.param(
            ("revoke_api_key", "--key", f"sk_{'a' * 49}"),
            "A key on the command line can be read by others: give --key - and the key on stdin.",
            id="key as an argument",
        ),
        pytest.param(("list_api_keys", "--user", "nobody"), "There is no user 'nobody'.", id="list of nobody"),
    ],
)
def test_what_is_wrong_is_one_sentence_on_stderr_and_nothing_is_changed(
    server: Server, person: Person, arguments: tuple[str, ...], sentence: str
) -> None:
    refused = server.manage(*(person.name if argument == "USER" else argument for argument in arguments))
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", f"{sentence}\n")
    assert person.keys(server) == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("issue_api_key",), id="nothing given"),
        pytest.param(("issue_api_key", "--user", "x"), id="no name"),
        pytest.param(("list_api_keys", "--status", "lost"), id="unknown status"),
        pytest.param(("revoke_api_key", "1", "--wrong"), id="unknown option"),
    ],
)
def test_wrong_arguments_are_one_sentence_too(server: Server, arguments: tuple[str, ...]) -> None:
    refused = server.manage(*arguments)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert len(refused.stderr.splitlines()) == 1


def test_a_database_that_is_not_there_is_one_sentence(server: Server) -> None:
    there, server.environment["DATABASE_URL"] = server.environment["DATABASE_URL"], "sqlite:////nowhere/x.sqlite3"
    refused = server.manage("list_api_keys")
    server.environment["DATABASE_URL"] = there
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("The database cannot be used: unable to open database file; ")


def test_a_list_that_nobody_reads_to_its_end_is_no_traceback(server: Server) -> None:
    command = f"{shlex.quote(sys.executable)} manage.py list_api_keys | true"
    ran = server.run(["bash", "-c", command])
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
