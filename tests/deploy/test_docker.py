"""The image and the composition, as far as they can be looked at without an engine; what the image holds does serve."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.gateways import DEPLOY, program
from tests.flows.conftest import ROOT, eventually, free_port

DOCKER = DEPLOY / "docker"
TEXT = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
PINNED = re.compile(r"[a-z0-9./-]+:(?!latest)[A-Za-z0-9._-]*\d[A-Za-z0-9._-]*")


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, arguments) of the Dockerfile, continued lines joined and comments left out."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(line.split()[0], " ".join(line.split()[1:])) for line in lines.splitlines() if line.strip()]


def final() -> list[tuple[str, str]]:
    """Return the instructions of the image that is kept."""
    found = instructions()
    return found[max(number for number, (name, _) in enumerate(found) if name == "FROM") :]


def arguments(name: str) -> list[str]:
    """Return the arguments of each such instruction of the image that is kept."""
    return [text for found, text in final() if found == name]


def copied() -> set[str]:
    """Return what the image takes from the project's folder."""
    copies = [text.split()[:-1] for name, text in instructions() if name == "COPY" and not text.startswith("--from")]
    return {source for sources in copies for source in sources}


def test_every_base_is_pinned() -> None:
    bases = [text.split()[0] for name, text in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1  # the environment is made with the Python that it runs on
    assert PINNED.fullmatch(bases[0])


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    (user,) = arguments("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    names = [name for name, _ in final()]
    assert names.index("USER") > max(number for number, name in enumerate(names) if name == "COPY")


def test_the_image_that_is_kept_installs_nothing_and_holds_no_secret() -> None:
    assert {name for name, _ in final()} <= {"FROM", "ENV", "COPY", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert not [name for name, _ in instructions() if name in {"ADD", "ARG"}]
    assert not re.search(r"(?i)secret|password|token|database_url", " ".join(arguments("ENV")))
    installs = [text for name, text in instructions() if name == "RUN" and "install" in text]
    assert all("--require-hashes" in text and "--no-cache-dir" in text for text in installs)


def test_what_goes_to_the_builder_is_what_the_image_takes() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied()


def test_what_the_image_holds_serves_and_finds_itself_healthy(tmp_path: Path) -> None:
    for name in copied() - {"requirements.txt"}:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "staticfiles").mkdir()
    port, data = free_port(), tmp_path / "data"
    data.mkdir()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}}
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEF",
        "DATABASE_URL": f"sqlite:///{data}/db.sqlite3",
        "ALLOWED_HOSTS": ".example.com,auth.internal",
    }
    (command,) = (json.loads(text.replace(":8000", f":{port}")) for text in arguments("CMD"))
    (asks,) = (json.loads(text.partition("CMD ")[2].replace(":8000", f":{port}")) for text in arguments("HEALTHCHECK"))

    def healthy() -> bool:
        return not subprocess.run(
            asks, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False
        ).returncode

    assert not healthy()
    with (data / "log").open("w") as log:
        served = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        assert eventually(healthy)
    finally:
        served.terminate()
        status = served.wait(40)
    assert (status, "Warning" in (data / "log").read_text()) == (0, False)


@pytest.mark.skipif(program("hadolint") is None, reason="no hadolint")
def test_hadolint_has_nothing_to_say() -> None:
    said = subprocess.run(
        [str(program("hadolint")), str(DOCKER / "Dockerfile")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_may_write_nowhere_and_become_nobody_else(name: str) -> None:
    service = COMPOSE["services"][name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    assert PINNED.fullmatch(service["image"])
    assert "build" in service or service["user"] != "root"
    assert service["healthcheck"].get("test") or name == "migrate"


def test_the_composition_has_no_secret_and_each_comes_from_a_file() -> None:
    assert COMPOSE["secrets"] == {
        name: {"file": f"secrets/{name}"} for name in ("secret_key", "database_url", "database_password")
    }
    for service in COMPOSE["services"].values():
        for variable, value in service.get("environment", {}).items():
            if re.search("SECRET|PASSWORD|DATABASE_URL", variable):
                assert variable.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_only_the_service_is_reached_from_outside_and_only_from_this_machine() -> None:
    ports = {name: service.get("ports") for name, service in COMPOSE["services"].items()}
    assert ports == {"authsvc": ["127.0.0.1:8000:8000"], "migrate": None, "database": None, "redis": None}
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_the_service_starts_after_the_database_is_up_to_date() -> None:
    services = COMPOSE["services"]
    assert services["authsvc"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["migrate"]["depends_on"]["database"] == {"condition": "service_healthy"}
    assert services["migrate"]["command"] == ["python", "manage.py", "migrate"]
