"""Revocations under load: credentials that are called without a pause, while each is taken back.

What counts is a request that began after the client had received the whole answer to the revoking call: none may be
let in. ``bench/`` runs the same with larger numbers, so nothing here needs pytest.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx

from tests.flows.callers import Call, Caller, calling

PASSWORD = "correct-horse-battery"
CONNECTIONS, BEFORE, AFTER = 2, 2, 3  # for each route: connections, and calls on each before and after a revocation
LANES = 4  # credentials that are under fire at a time
USERS = "/admin/accounts/user/"


class Victim(NamedTuple):
    """A user of one revocation: logged in twice, with one key. The second login's token is the one that is called."""

    user_id: int
    username: str
    first: dict[str, Any]
    second: dict[str, Any]
    key_id: int
    key: str

    @property
    def own(self) -> dict[str, str]:
        """The header of the first login."""
        return {"Authorization": f"Bearer {self.first['access_token']}"}

    @property
    def token_calls(self) -> list[Call]:
        """Where the second login's token is shown: path, header, value."""
        value = f"Bearer {self.second['access_token']}"
        return [("/protected/user", "Authorization", value), ("/auth/verify", "Authorization", value)]

    @property
    def key_calls(self) -> list[Call]:
        """Where the key is shown."""
        return [("/protected/service", "X-API-Key", self.key), ("/auth/verify", "X-API-Key", self.key)]


def delete_key(http: httpx.Client, victim: Victim) -> httpx.Response:
    return http.delete(f"/keys/{victim.key_id}", headers=victim.own)


def disable_key(http: httpx.Client, victim: Victim) -> httpx.Response:
    return http.patch(f"/keys/{victim.key_id}", json={"is_enabled": False}, headers=victim.own)


def log_out(http: httpx.Client, victim: Victim) -> httpx.Response:
    return http.post("/auth/logout", json={"refresh_token": victim.second["refresh_token"]})


def end_session(http: httpx.Client, victim: Victim) -> httpx.Response:
    (other,) = [row for row in http.get("/auth/sessions", headers=victim.own).json() if not row["current"]]
    return http.delete(f"/auth/sessions/{other['id']}", headers=victim.own)


def end_all_sessions(http: httpx.Client, victim: Victim) -> httpx.Response:
    return http.delete("/auth/sessions", headers=victim.own)


def change_password(http: httpx.Client, victim: Victim) -> httpx.Response:
    body = {"current_password": PASSWORD, "new_password": f"{PASSWORD}-2"}
    return http.post("/auth/password", json=body, headers=victim.own)


def disable_user(http: httpx.Client, victim: Victim) -> httpx.Response:
    """Take the tick from *active* in the console, as an operator does."""
    email = f"{victim.username}@example.com"
    shown = {"username": victim.username, "email": email, "initial-username": victim.username, "initial-email": email}
    return submit(http, f"{USERS}{victim.user_id}/change/", {**shown, "initial-is_active": "on"})


# What is done, its answer, and whether it takes the user's tokens or keys, or both.
KINDS: dict[str, tuple[Callable[[httpx.Client, Victim], httpx.Response], int, str]] = {
    "key revoked": (delete_key, 204, "key"),
    "key disabled": (disable_key, 200, "key"),
    "logged out": (log_out, 204, "token"),
    "session ended": (end_session, 204, "token"),
    "all sessions ended": (end_all_sessions, 204, "token"),
    "password changed": (change_password, 204, "token"),
    "user disabled": (disable_user, 302, "token key"),
}


def submit(http: httpx.Client, path: str, form: dict[str, str]) -> httpx.Response:
    """Send a form of the console, which must be taken."""
    answer = http.post(path, data={**form, "csrfmiddlewaretoken": http.cookies["csrftoken"]})
    assert answer.status_code == 302, answer.text
    return answer


def new_victim(http: httpx.Client) -> Victim:
    """Make a user as everybody does."""
    who = {"username": f"v{secrets.token_hex(8)}", "password": PASSWORD}
    user = answered(http.post("/auth/signup", json={**who, "email": f"{who['username']}@example.com"}), 201)
    first, second = (answered(http.post("/auth/login", json=who), 200) for _ in range(2))
    own = {"Authorization": f"Bearer {first['access_token']}"}
    key = answered(http.post("/keys/create", json={"name": "a key"}, headers=own), 201)
    return Victim(user["id"], who["username"], first, second, key["id"], key["key"])


def answered(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the body of an answer that must have a status."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


class Outcome(NamedTuple):
    """What one revocation showed: its kind, and statuses of the calls before it and of those that began after it."""

    kind: str
    before: Counter[int]
    after: Counter[int]


Look = Callable[[list[Caller]], None]


def revoke(http: httpx.Client, kind: str, look: Look) -> Outcome:
    """Make a user, have it called, take it back, and return what the calls showed; ``look`` sees the callers before."""
    act, status, hits = KINDS[kind]
    victim = new_victim(http)
    calls = [*(victim.token_calls if "token" in hits else ()), *(victim.key_calls if "key" in hits else ())]
    with calling(http.base_url.port or 80, calls, CONNECTIONS) as callers:
        for caller in callers:
            caller.wait_for(BEFORE)
        look(callers)
        answer = act(http, victim)
        acknowledged = time.monotonic()
        assert answer.status_code == status, answer.text
        for caller in callers:
            caller.wait_for(AFTER, acknowledged)
    made = [call for caller in callers for call in caller.calls]
    before, after = ([seen for began, seen in made if (began > acknowledged) is late] for late in (False, True))
    return Outcome(kind, Counter(before), Counter(after))


def revoke_in_turn(url: str, operator: str, kinds: list[str], look: Look) -> list[Outcome]:
    """Revoke once for each kind, one after the other, as one client in whose console an operator is logged in."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        http.get("/admin/login/")
        submit(http, "/admin/login/", {"username": operator, "password": PASSWORD})
        return [revoke(http, kind, look) for kind in kinds]


def revoke_under_load(
    url: str, operator: str, times: int, *, lanes: int = LANES, look: Look = lambda callers: None
) -> list[Outcome]:
    """Revoke so many times, the kinds in turn, several at a time, and return what each showed."""
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(times)]
    with ThreadPoolExecutor(lanes) as pool:
        found = pool.map(lambda lane: revoke_in_turn(url, operator, kinds[lane::lanes], look), range(lanes))
        return [outcome for outcomes in found for outcome in outcomes]
