"""A backup restored after more has happened: nothing issued meanwhile opens anything of those who have its ids now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.flows.conftest import PASSWORD, Server, bearer, eventually
from tests.flows.test_backup import back_up_and_restore

NEW = "another-horse-battery"
PEOPLE = ("owner", "changed", "disabled", "demoted", "deleted")


class Before:
    """A service before its database is lost: what was issued before the backup, and what after it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        server.migrate()
        server.start()
        self.tokens = {name: self.session(name) for name in PEOPLE}
        for name in ("demoted", "disabled"):
            assert server.manage("grant_role", name, "analyst", "--scope", "reports:read").returncode == 0
        self.keys = {name: self.key(name) for name in ("revoked", "rotated", "disabled", "untouched", "ended")}
        self.outgoing = self.key("outgoing")
        self.incoming = self.rotate(self.outgoing[0], {"retire_old": "on_first_use"})
        self.operator = server.operator()
        self.console = console(server, self.operator)

    def session(self, name: str) -> dict[str, str]:
        """Return the pair of somebody new."""
        person = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        assert self.server.http.post("/auth/signup", json=person).status_code == 201
        return login(self.server, name)

    def call(self, method: str, path: str, body: Any = None, name: str = "owner") -> Any:
        headers = bearer(self.tokens[name]["access_token"])
        answer = self.server.http.request(method, path, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def key(self, label: str, name: str = "owner") -> tuple[int, str]:
        made = self.call("POST", "/keys", {"name": label}, name)
        return made["id"], made["key"]

    def rotate(self, key_id: int, body: Any) -> str:
        return str(self.call("POST", f"/keys/{key_id}/rotate", body)["key"])

    def lose(self) -> dict[str, Any]:
        """Do what the backup does not have, and return what somebody has from it who signed up meanwhile."""
        server, ids = self.server, {name: key[0] for name, key in self.keys.items()}
        self.call("DELETE", f"/keys/{ids['revoked']}")
        assert server.http.get("/protected/service", headers={"x-api-key": self.incoming}).status_code == 200
        self.rotate(ids["rotated"], {"overlap_seconds": 0})
        self.call("PATCH", f"/keys/{ids['disabled']}", {"is_enabled": False})
        self.call("POST", "/auth/password", {"current_password": PASSWORD, "new_password": NEW}, "changed")
        assert server.manage("end_everything", "--user", "disabled", "--disable").returncode == 0
        assert server.manage("revoke_role", "demoted", "analyst").returncode == 0
        assert server.manage("revoke_api_key", str(ids["ended"]), "--reason", "by command").returncode == 0
        self.tokens["mallory"] = self.session("mallory")
        key_id, key = self.key("mallory's", "mallory")
        outgoing, new = key, self.call("POST", f"/keys/{key_id}/rotate", {"overlap_seconds": 3600}, "mallory")["key"]
        exchanged = [
            server.http.post("/auth/token", headers={"x-api-key": text}).json()["access_token"]
            for text in (outgoing, new)
        ]
        links = {}
        for page, route in (("reset-password", "/auth/password/reset"), ("confirm-email", "/auth/email/verify")):
            assert server.http.post(route, json={"email": "mallory@example.com"}).status_code == 202
            links[page] = eventually(lambda page=page: mailed(server, page))  # type: ignore[misc]  # bound for the loop
        late = server.operator()
        return {
            **self.tokens["mallory"],
            "key_id": key_id,
            "keys": [outgoing, new],
            "exchanged": exchanged,
            "links": links,
            "console": console(server, late),
        }


def login(server: Server, name: str, word: str = PASSWORD) -> Any:
    answer = server.http.post("/auth/login", json={"username": name, "password": word})
    return answer.json() if answer.status_code == 200 else answer.status_code


def mailed(server: Server, page: str) -> str:
    """Return the token of the newest link to a page that the service has printed, or "" for none yet."""
    found = re.findall(rf"/{page}\?token=(\S+)", server.log.read_text())
    return unquote(found[-1]) if found else ""


def console(server: Server, username: str) -> str:
    """Log an operator in to the console and return the session's cookie."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as browser:
        browser.get("/admin/login/")
        form = {"username": username, "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post("/admin/login/?next=/admin/", data=form).status_code == 302
        return str(browser.cookies["authsvc_session"])


@pytest.fixture
def before(new_database: Callable[[], str], tmp_path: Path) -> Iterator[Before]:
    folder = tmp_path / "before"
    folder.mkdir()
    running = Before(Server(folder, new_database(), AUDIT_LOG=str(tmp_path / "audit.log")))
    yield running
    assert running.server.stop() == 0


def test_what_was_issued_or_ended_after_the_backup(
    before: Before, new_database: Callable[[], str], tmp_path: Path
) -> None:
    restored = new_database()
    back_up_and_restore(before.server.database_url, restored, tmp_path)
    lost = before.lose()

    after = Server(tmp_path, restored, SECRET_KEY=before.server.environment["SECRET_KEY"])
    log = str(tmp_path / "audit.log")
    ran = [after.manage("after_restore", "--revocations", log, *more) for more in (["--dry-run"], [], [])]
    assert [(run.returncode, run.stderr) for run in ran] == [(0, "")] * 3
    assert [re.findall(r"^(Repeated|Not found).*: (\d+)$", run.stdout, re.MULTILINE) for run in ran] == [
        [("Repeated", "8"), ("Not found", "1")],
        [("Repeated", "8"), ("Not found", "1")],
        [("Repeated", "0"), ("Not found", "1")],
    ], ran[1].stdout
    assert re.search(r"^  apikey #\d+ \(mallory's\): api_key:rotated", ran[1].stdout, re.MULTILINE)
    after.start()
    try:
        check_the_ended(after, before)
        check_the_lost(after, lost)
    finally:
        assert after.stop() == 0


def check_the_ended(after: Server, before: Before) -> None:
    """What was ended after the backup stays ended, and so does every session; the rest works."""

    def opened(key: str) -> bool:
        return bool(after.http.get("/protected/service", headers={"x-api-key": key}).status_code == 200)

    assert {name: opened(key[1]) for name, key in before.keys.items()} == {
        **dict.fromkeys(before.keys, False),
        "untouched": True,
    }
    assert [opened(before.outgoing[1]), opened(before.incoming)] == [False, True]
    for pair in before.tokens.values():
        assert after.http.get("/auth/me", headers=bearer(pair["access_token"])).status_code == 401
        refreshed = after.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
        assert refreshed.status_code == 401
    cookie = {"cookie": f"authsvc_session={before.console}"}
    assert after.http.get("/admin/", headers=cookie).status_code == 302
    assert [login(after, "changed", word) for word in (PASSWORD, NEW)] == [401, 401]
    assert login(after, "disabled") == 401
    token = login(after, "demoted")["access_token"]
    assert after.http.get("/auth/me", headers=bearer(token)).json()["roles"] == []


def check_the_lost(after: Server, lost: dict[str, Any]) -> None:
    """The ids of the lost time are given out again, and what was issued for them opens nothing."""
    victim = {"username": "victim", "email": "mallory@example.com", "password": PASSWORD}
    made = after.http.post("/auth/signup", json=victim)
    assert made.status_code == 201
    # Sessions of before and the victims': as many as mallory's login had before it.
    sessions = [login(after, "victim") for _ in range(20)]
    key_id, key = after.make_key(sessions[0]["access_token"])
    assert key_id == lost["key_id"]
    rotated = after.http.post(f"/keys/{key_id}/rotate", headers=bearer(sessions[0]["access_token"]))
    assert rotated.status_code == 201
    after.operator()

    for token in (lost["access_token"], *lost["exchanged"]):
        answers = [after.http.get(path, headers=bearer(token)) for path in ("/auth/me", "/auth/verify", "/keys")]
        answers.append(after.http.post("/keys", json={"name": "x"}, headers=bearer(token)))
        assert [answer.status_code for answer in answers] == [401] * 4
    for route in ("/auth/refresh", "/auth/logout"):
        assert after.http.post(route, json={"refresh_token": lost["refresh_token"]}).status_code == 401
    for text in lost["keys"]:
        assert after.http.get("/protected/any", headers={"x-api-key": text}).status_code == 401
    reset = {"token": lost["links"]["reset-password"], "new_password": NEW}
    assert after.http.post("/auth/password/reset/confirm", json=reset).status_code in {400, 401}
    confirmed = after.http.post("/auth/email/verify/confirm", json={"token": lost["links"]["confirm-email"]})
    assert confirmed.status_code in {400, 401}
    assert after.http.get("/admin/", headers={"cookie": f"authsvc_session={lost['console']}"}).status_code == 302
    # Nothing of this has cost the victim anything.
    for pair in sessions:
        assert after.http.get("/auth/me", headers=bearer(pair["access_token"])).json()["username"] == "victim"
    assert after.http.get("/protected/service", headers={"x-api-key": key}).status_code == 200
