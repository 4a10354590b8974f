"""What the documents list is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from authsvc.config import environment
from tests.authsvc.conftest import ROOT

OURS = {"accounts", "apikeys", "audit"}
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bench").glob("*.md")]
BLOCK = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
RULE = re.compile(r"\|( :?-+:? \|)+")


def broken_tables(text: str) -> list[str]:
    """Return the first line of each table that has no header, as one that a blank line has cut in two."""
    paragraphs = re.split(r"\n\s*\n", BLOCK.sub("", text))
    tables = [[line for line in found.splitlines() if line.startswith("|")] for found in paragraphs]
    return [rows[0] for rows in tables if rows and not any(RULE.fullmatch(row) for row in rows[1:2])]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_table_has_its_header(path: Path) -> None:
    assert broken_tables(path.read_text(encoding="utf-8")) == []


def test_a_table_that_a_blank_line_cuts_is_found() -> None:
    whole = "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert broken_tables(f"Text:\n\n{whole}\n```\n| no table |\n```\n") == []
    assert broken_tables(f"{whole}\n| 3 | 4 |\n| 5 | 6 |\n") == ["| 3 | 4 |"]


def test_operations_lists_every_command() -> None:
    section = operations().partition("\n## Commands\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)", section, re.MULTILINE)
    ours = {name for name, app in get_commands().items() if app in OURS and name != "createsuperuser"}
    assert sorted(listed) == sorted(ours)


def test_operations_lists_every_variable_that_may_be_a_file() -> None:
    paragraph = operations().partition("- **NAME_FILE**")[2].partition("\n- **")[0]
    stems = {name.removesuffix("_FILE") for name in environment.names if name.endswith("_FILE")}
    assert set(re.findall(r"`([A-Z_]+)`", paragraph)) == stems & environment.names


def operations() -> str:
    """Return docs/operations.md."""
    return (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
