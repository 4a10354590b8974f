"""docs/operations.md from an empty Debian to a login: its blocks, one after another, in one shell.

What a test cannot do is replaced, each piece exactly once: packages are there, the clone is a copy, PostgreSQL is a
cluster of its own, systemd's part is played by a program that does what the units say, and ports and folders are the
test's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.gateways import DEPLOY, NGINX, program
from tests.flows.conftest import PASSWORD, ROOT, free_port

GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("## From an empty Debian to a login\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
PROJECT = ("authsvc", "accounts", "apikeys", "audit", "gateway", "protected", "console", "deploy", "staticfiles")
FILES = ("gunicorn.conf.py", "manage.py", "requirements.txt")
POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

# systemd: the socket, then the program with the variables, the credentials and the socket that the units name.
SYSTEMD = """
import os, socket, subprocess, sys
start, environment, port, log = sys.argv[1].split(), dict(os.environ), int(sys.argv[3]), sys.argv[4]
environment.update(line.split("=", 1) for line in open(sys.argv[2]).read().splitlines())
held = socket.create_server(("127.0.0.1", port))
os.dup2(held.fileno(), 3)
os.set_inheritable(3, True)  # it may have been 3 already
environment.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
out = os.open(log, os.O_WRONLY | os.O_CREAT)
os.dup2(out, 1), os.dup2(out, 2)
os.execve(start[0], start, environment)
"""


def unit(name: str) -> RawConfigParser:
    """Return a unit's settings; of a name that stands there twice the last."""
    parser = RawConfigParser(strict=False, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as the package says to keep the case
    parser.read(DEPLOY / "systemd" / name)
    return parser


@contextmanager
def cluster(port: int) -> Iterator[str]:
    """Run a PostgreSQL of its own, in a folder that its user can reach; yield a psql that is its superuser."""
    folder = Path(tempfile.mkdtemp(prefix="authsvc-pg-"))
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    shutil.chown(folder, user or os.geteuid())

    def run(program: str, *arguments: str) -> None:
        command = [str(POSTGRESQL[-1].parent / program), "-D", f"{folder}/data", *arguments]
        done = subprocess.run(command, cwd=folder, user=user, timeout=120, check=False, stdout=subprocess.DEVNULL)
        assert done.returncode == 0, command

    try:
        run("initdb", "--auth-local=trust", "--auth-host=scram-sha-256", "-U", "postgres")
        run("pg_ctl", "-w", "-s", "-l", f"{folder}/log", "-o", f"-p {port} -h 127.0.0.1 -k {folder}", "start")
        yield f"psql -h {folder} -p {port} -U postgres -d postgres"
        run("pg_ctl", "-w", "-s", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A folder in the place of a machine; yield what is replaced in the blocks."""
    for name in ("opt", "units", "nginx"):
        (tmp_path / name).mkdir()
    for name in (*PROJECT, *FILES):
        copy: Any = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / "opt" / name)
    (tmp_path / "opt" / ".venv").symlink_to(sys.prefix)
    database, service, http, https = (str(free_port()) for _ in range(4))
    front = tmp_path / "opt" / "deploy" / "nginx" / "front.conf"
    text = (
        front.read_text()
        .replace("/etc/ssl/authsvc", f"{tmp_path}/ssl")
        .replace("127.0.0.1:8000", f"127.0.0.1:{service}")
    )
    front.write_text(text.replace("listen 80;", f"listen {http};").replace("listen 443 ", f"listen {https} "))
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path).replace("authsvc.conf", "nginx/authsvc.conf"))
    settings = unit("authsvc.service")["Service"]
    start = settings["ExecStart"].replace("/opt/authsvc", f"{tmp_path}/opt")
    variables = " ".join(settings["Environment"].split()).replace("%d", f"{tmp_path}/etc")
    assert settings["EnvironmentFile"] == "/etc/authsvc/authsvc.env"
    assert unit("authsvc.socket")["Socket"]["ListenStream"] == "127.0.0.1:8000"
    (tmp_path / "systemd.py").write_text(SYSTEMD)
    serve = f"cd {tmp_path}/opt; exec env {variables} {sys.executable} {tmp_path}/systemd.py"
    nginx = f"nginx -e stderr -p {tmp_path} -c {tmp_path}/nginx.conf"
    with cluster(int(database)) as psql:
        yield {
            "apt-get update\n": "",
            "apt-get install": ": apt-get install",
            "git clone": ": git clone",
            "python3 -m venv": ": python3 -m venv",
            "/opt/authsvc/.venv/bin/pip install": ": pip install",
            'su postgres -c "psql -q -v ON_ERROR_STOP=1"': f"{psql} -q -v ON_ERROR_STOP=1",
            "127.0.0.1:5432": f"127.0.0.1:{database}",
            "REDIS_URL=redis://127.0.0.1:6379/0": f"REDIS_URL={os.environ.get('TEST_REDIS_URL', '')}",
            "manage createsuperuser": "manage createsuperuser --noinput --username root --email root@example.com",
            "systemctl daemon-reload": ": systemctl daemon-reload",
            "systemctl enable --now authsvc.socket authsvc.service": (
                f"({serve} '{start}' {tmp_path}/etc//authsvc.env {service} {tmp_path}/log) & SERVED=$!"
            ),
            "http://127.0.0.1:8000/readyz": f"--retry 120 --retry-connrefused --retry-delay 1 http://127.0.0.1:{service}/readyz",
            "nginx -t": f"{nginx} -t",
            "systemctl reload nginx": f"{nginx} & PROXY=$!; sleep 1",
            "--resolve auth.example.com:443:127.0.0.1": f"--connect-to auth.example.com:443:127.0.0.1:{https}",
            "/etc/systemd/system/": f"{tmp_path}/units/",
            "/etc/nginx/conf.d/": f"{tmp_path}/nginx/",
        }


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not POSTGRESQL or None in map(program, ("psql", "nginx", "openssl", "curl")),
    reason="no PostgreSQL, nginx, openssl or curl",
)
def test_the_guide_leads_from_an_empty_machine_to_a_login(machine: dict[str, str], tmp_path: Path) -> None:
    script = "\n".join(BLOCKS)
    for old, new in machine.items():
        assert script.count(old) == 1, old
        script = script.replace(old, new)
    for old, new in {"/opt/authsvc": "opt", "/etc/authsvc": "etc", "/etc/ssl/authsvc": "ssl"}.items():
        script = script.replace(old, f"{tmp_path}/{new}")
    console = "call https://auth.example.com/admin/login/ -o /dev/null -w '\\n%{http_code}\\n'"
    stop = "kill $SERVED $PROXY 2>/dev/null; wait"
    ran = subprocess.run(
        ["bash", "-c", f"set -euo pipefail; SERVED= PROXY=\ntrap '{stop}' EXIT\n{script}\n{console}\n"],
        cwd=tmp_path,
        # Nothing of the environment of the tests: what the guide does not set is not set.
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(tmp_path), "DJANGO_SUPERUSER_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == "200"  # the console's login
    assert '"status":"ok"' in ran.stdout.replace(" ", "")
    answers = [json.loads(found) for found in re.findall(r"\{[^{}]*\}", ran.stdout.replace('"roles":[]', '"roles":""'))]
    (login,) = [answer for answer in answers if "access_token" in answer]
    assert (login["token_type"], any(answer.get("username") == "ann" for answer in answers)) == ("bearer", True)
