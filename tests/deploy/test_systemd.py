"""The unit, as systemd itself reads it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.gateways import DEPLOY, program, replaced
from tests.flows.conftest import ROOT

UNIT = DEPLOY / "systemd" / "authsvc.service"
SETTINGS = [
    line.partition("=")[::2] for line in UNIT.read_text(encoding="utf-8").splitlines() if re.match(r"\w+=", line)
]
systemd = pytest.mark.skipif(program("systemd-analyze") is None, reason="no systemd-analyze")


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze to its end."""
    command = [str(program("systemd-analyze")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@systemd
def test_systemd_can_read_the_unit(tmp_path: Path) -> None:
    start = "ExecStart=/opt/authsvc/.venv/bin/python"
    unit = replaced(UNIT, tmp_path, {start: (f"ExecStart={sys.executable}", 1)})
    # Of this unit alone: one that it is ordered after may be another package's, with faults of its own.
    verified = analyze("--man=no", "--recursive-errors=no", "verify", unit)
    said = [line for line in verified.stderr.splitlines() if unit.name in line]
    assert (verified.returncode, said) == (0, [])


@systemd
def test_the_unit_exposes_little() -> None:
    judged = analyze("security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert judged.returncode == 0, judged.stdout


def test_the_unit_is_not_root_and_gives_a_stop_the_time_that_gunicorn_takes() -> None:
    settings = dict(SETTINGS)
    graceful = re.search(r"^graceful_timeout = (\d+)", (ROOT / "gunicorn.conf.py").read_text(encoding="utf-8"), re.M)
    assert graceful is not None
    assert int(settings["TimeoutStopSec"]) > int(graceful[1])
    wanted = {"DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "KillMode": "mixed"}
    assert {name: settings[name] for name in wanted} == wanted
    assert settings["ExecReload"] == "/bin/kill -s HUP $MAINPID"
    assert not [value for name, value in SETTINGS if name == "Environment" and re.search("(SECRET_KEY|URL)=", value)]
