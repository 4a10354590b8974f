"""The types that openapi-typescript makes of /openapi.json: a strict program compiles with them, and runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.conftest import PASSWORD, Server, new_name

PROGRAMS = os.environ.get("TEST_TYPESCRIPT", "")
pytestmark = pytest.mark.skipif(not PROGRAMS, reason="TEST_TYPESCRIPT is not set, as the closing line of the run says")
OPTIONS = {
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "target": "ES2022",
    "module": "ES2022",
    "moduleResolution": "bundler",
    "lib": ["ES2022", "DOM"],
    "types": [],
}


def run(folder: Path, *command: str) -> str:
    """Run a program and return what it printed. Raises AssertionError where it fails."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_strict_program_compiles_with_the_types_and_goes_from_sign_up_to_a_key(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_bytes(server.http.get("/openapi.json").content)
    shutil.copy(Path(__file__).parent / "typescript" / "program.ts", tmp_path)
    config = {"compilerOptions": OPTIONS, "files": ["program.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    run(tmp_path, f"{PROGRAMS}/openapi-typescript", "openapi.json", "--output", "authsvc.ts")
    run(tmp_path, f"{PROGRAMS}/tsc", "--project", ".")
    assert run(tmp_path, "node", "program.js", server.url, new_name(), PASSWORD) == "done\n"
