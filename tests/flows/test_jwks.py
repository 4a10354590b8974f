"""Others verify our tokens by themselves: another process with PyJWT, another language with jose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Server, bearer, eventually, new_name

HERE = Path(__file__).resolve().parent
JOSE = os.environ.get("TEST_JOSE", "")
NEEDS_JOSE = pytest.mark.skipif(
    not (JOSE and shutil.which("node")), reason="TEST_JOSE is not set, as the closing line of the run says"
)
ALGORITHMS = ("ES256", "RS256", "EdDSA")


def said(*command: str) -> dict[str, Any]:
    """Run a program and return the JSON that it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=without_proxies())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def without_proxies() -> dict[str, str]:
    """Return the environment of a program that talks to this machine alone."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


@pytest.fixture(params=ALGORITHMS)
def signing(launch: Callable[..., Server], request: pytest.FixtureRequest) -> Server:
    """A server of two processes that signs with a key pair."""
    server = launch(JWT_ALGORITHM=request.param, WEB_CONCURRENCY="2")
    assert server.manage("rotate_signing_key").returncode == 0
    return server


def test_pyjwt_in_another_process_verifies_a_token_by_what_is_published(signing: Server) -> None:
    name = new_name()
    token = signing.sign_up(name)
    claims = said(sys.executable, str(HERE / "verify.py"), f"{signing.url}/.well-known/jwks.json", token)
    assert (claims["token_type"], claims["scope"], claims["roles"]) == ("access", "", [])
    assert claims["sub"] == str(signing.http.get("/auth/me", headers=bearer(token)).json()["id"])


@NEEDS_JOSE
def test_jose_in_node_verifies_a_token_by_what_is_published_and_refuses_another(signing: Server) -> None:
    token = signing.sign_up(new_name())
    command = ["node", str(HERE / "verify.mjs"), JOSE, f"{signing.url}/.well-known/jwks.json"]
    claims = said(*command, token)
    assert (claims["alg"], claims["token_type"]) == (signing.environment["JWT_ALGORITHM"], "access")
    head, body, signature = token.split(".")
    assert said(*command, f"{head}.{body}.{signature[:-8]}AAAAAAAA") == {
        "refused": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"
    }


def test_all_processes_follow_a_rotation_within_seconds(launch: Callable[..., Server]) -> None:
    server = launch(JWT_ALGORITHM="ES256", WEB_CONCURRENCY="2")
    assert server.manage("rotate_signing_key").returncode == 0
    token = server.sign_up(new_name())
    kid = server.manage("rotate_signing_key", "--at-once").stdout.strip()
    began = time.monotonic()

    def answers() -> set[tuple[int, str]]:
        """Ask so often, each time by a connection of its own, that every process is likely to be asked."""
        return {
            (get("/auth/me").status_code, get("/.well-known/jwks.json").json()["keys"][0]["kid"]) for _ in range(20)
        }

    def get(path: str) -> Any:
        return server.http.get(path, headers={**bearer(token), "Connection": "close"})

    eventually(lambda: answers() == {(401, kid)})
    assert time.monotonic() - began < 30
