"""schemathesis against the running server: every operation of the document, with every check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT, Server, bearer, new_name

EXAMPLES = 12
SCHEMATHESIS = [str(Path(sys.executable).parent / "schemathesis"), "run"]
# What ends the credentials of the others runs by itself.
ENDING = "^/auth/(sessions.*|logout|password)$"


def run(server: Server, *arguments: str, token: str, key: str, folder: Path) -> str:
    """Run schemathesis and return what it printed. Raises AssertionError where a check failed."""
    options = [
        *("--checks=all", "--exclude-checks=positive_data_acceptance"),  # schemathesis_checks.py has a kinder one
        *("--phases=examples,coverage,fuzzing", f"--max-examples={EXAMPLES}", "--seed=7", "--no-color"),
        *("--generation-deterministic", "--request-timeout=20", "--max-failures=20"),
        *(f"--header=Authorization: Bearer {token}", f"--header=x-api-key: {key}"),
    ]
    done = subprocess.run(
        [*SCHEMATHESIS, f"{server.url}/openapi.json", *options, *arguments],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.flows.schemathesis_checks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    "selection", [f"--exclude-path-regex={ENDING}", f"--include-path-regex={ENDING}"], ids=["most", "ending"]
)
def test_every_operation_answers_as_the_document_says(server: Server, tmp_path: Path, selection: str) -> None:
    name = new_name()
    token = server.sign_up(name)
    scopes = ("reports:read", "tokens:introspect")
    granted = server.manage("grant_role", name, "admin", *(f"--scope={scope}" for scope in scopes))
    assert granted.returncode == 0, granted.stderr
    made = server.http.post("/keys/create", json={"name": "a key", "scopes": scopes}, headers=bearer(token))
    printed = run(server, selection, token=token, key=made.json()["key"], folder=tmp_path)
    assert "Test cases" in printed
    assert shutil.which(SCHEMATHESIS[0])
