"""What holds for every file of deploy/: it can be read, names no machine of ours, and is what the guide shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.gateways import DEPLOY
from tests.deploy.test_gateway_paths import TRICKS
from tests.flows.conftest import ROOT

FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
GUIDE = (ROOT / "docs" / "gateways.md").read_text(encoding="utf-8")
EXCERPTS = re.findall(r"```(?:nginx|caddyfile|yaml)\n(.*?)```", GUIDE, re.DOTALL)


def lines(text: str) -> list[str]:
    """Return the lines of a text without indentation, comments and empty ones."""
    return [line for raw in text.splitlines() if (line := re.sub(r"(^|\s)#.*", "", raw).strip())]


CONFIGURATIONS = [set(lines(path.read_text(encoding="utf-8"))) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_a_file_is_short_text_that_names_nothing_of_ours(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert len(text.splitlines()) < 300
    assert not re.search(r"\t ?$|[ \t]+$", text, re.M)
    assert not re.search(r"/home/|/root|/work/|/tmp/[a-z]", text)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix in {".yml", ".yaml"}], ids=lambda path: str(path.relative_to(DEPLOY))
)
def test_yaml_is_one_document_without_surprises(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    assert document


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=["nginx", "caddy", "traefik", "envoy"])
def test_the_guide_shows_lines_of_the_files(excerpt: str) -> None:
    shown = set(lines(excerpt))
    assert 4 <= len(lines(excerpt)) <= 7
    # Traefik's file has what all its questions share once, under an anchor.
    assert [have for have in CONFIGURATIONS if shown - {"forwardAuth:"} <= have]


def test_the_guide_names_every_file_that_is_linked_and_every_link_is_there() -> None:
    linked = set(re.findall(r"\]\(\.\./([^)]+)\)", GUIDE))
    assert all((ROOT / link).exists() for link in linked)
    assert {path.relative_to(DEPLOY).parts[0] for path in FILES} == {link.split("/")[1] for link in linked}


def test_the_guide_says_how_many_paths_are_tried() -> None:
    assert f"{len(TRICKS)} spellings of a path" in GUIDE
