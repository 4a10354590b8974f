"""docs/settings.md: every variable that the settings read, with the default and the values that the code knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.core.exceptions import ImproperlyConfigured

from authsvc.config import dotenv, environment
from tests.authsvc.conftest import ROOT

Read = Callable[..., dict[str, Any]]

DOCUMENT = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)
# One default depends on the database; a test of its own holds it.
DEPENDS = {"WEB_CONCURRENCY": "`1` on SQLite, else `2`"}


class Row(NamedTuple):
    """One setting as the document has it."""

    name: str
    default: str
    values: str
    meaning: str


ROWS = [Row(*found) for found in ROW.findall(DOCUMENT)]


def sections(text: str, heading: str, name: str) -> dict[str, list[str]]:
    """Return the names below each heading of a text, without the headings that have none."""
    parts = re.split(heading, text, flags=re.MULTILINE)[1:]
    found = {title: re.findall(name, part, re.MULTILINE) for title, part in zip(parts[::2], parts[1::2], strict=True)}
    return {title: names for title, names in found.items() if names}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, read_settings: Read) -> set[str]:
    """The variables that the settings module asks for."""
    monkeypatch.setattr(environment, "names", set())
    read_settings()
    return environment.names


def test_every_variable_that_the_settings_read_is_documented_once(names: set[str]) -> None:
    documented = [row.name for row in ROWS]
    assert sorted(documented) == sorted(names - {f"{name}_FILE" for name in names})


def test_the_variables_that_may_be_files_are_listed(names: set[str]) -> None:
    files = {name for name in names if f"{name}_FILE" in names}
    section = DOCUMENT.partition("## Secrets from files\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^- `([A-Z_]+)`$", section, re.MULTILINE)) == sorted(files)
    (sentence,) = re.findall(r"^# (.*) may be given as NAME_FILE", EXAMPLE, re.MULTILINE)
    assert set(re.split(r", | and ", sentence)) == files


def test_the_groups_and_their_order_are_those_of_the_example() -> None:
    documented = sections(DOCUMENT, r"^## (.+)$", r"^\| `([A-Z_]+)` \|")
    assert list(documented.items()) == list(sections(EXAMPLE, r"^# --- (.+) ---$", r"^#?([A-Z_]+)=").items())


def test_the_documented_defaults_are_those_of_the_code(read_settings: Read) -> None:
    cells = {row.name: row.default for row in ROWS}
    assert {name: cells.pop(name) for name in DEPENDS} == DEPENDS
    assert cells.pop("SECRET_KEY") == "required"
    assert [cell for cell in cells.values() if cell != "empty" and not re.fullmatch("`[^`]+`", cell)] == []
    documented = {name: "" if cell == "empty" else cell.strip("`") for name, cell in cells.items()}
    documented["PUBLIC_URL"] = documented["PUBLIC_URL"].replace("PORT", documented["PORT"])
    unset = {**dict.fromkeys(documented, ""), **dict.fromkeys(DEPENDS, ""), "SECRET_KEY": "k" * 32}

    def plain(found: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in found.items() if name.isupper()}

    expected = plain(read_settings(**unset))
    differing = [
        name for name, value in documented.items() if plain(read_settings(**{**unset, name: value})) != expected
    ]
    assert differing == []
    # An empty value is also what "unset" means, so a default of the code would not differ from an empty cell.
    empty = {name for name, value in documented.items() if not value}
    assert {name: expected[name] for name in empty if expected.get(name)} == {}


@pytest.mark.parametrize(("url", "processes"), [("sqlite:////tmp/authsvc.sqlite3", 1), ("postgres://host/name", 2)])
def test_the_number_of_processes_depends_on_the_database(read_settings: Read, url: str, processes: int) -> None:
    assert read_settings(DATABASE_URL=url, WEB_CONCURRENCY="")["WEB_CONCURRENCY"] == processes


def complaint(read_settings: Read, name: str) -> str:
    """Return what the settings say of a value that no setting takes, or "" where this one takes it."""
    try:
        read_settings(**{name: "\N{NO-BREAK SPACE}no such value\N{NO-BREAK SPACE}\N{SNOWMAN}"})
    except ImproperlyConfigured as error:
        return str(error)
    return ""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_documented_values_are_those_that_the_code_takes(read_settings: Read, row: Row) -> None:
    said = complaint(read_settings, row.name)
    if bounds := re.search(r"must be a whole number from (\d+) to (\d+),", said):
        assert re.fullmatch(rf"{bounds[1]} to {bounds[2]}( seconds| minutes| days)?", row.values)
    elif words := re.search(r"must be one of (.*), not", said):
        assert row.values == ", ".join(f"`{word}`" for word in words[1].split(", "))
    elif " must be true or false," in said:
        assert row.values == "`true` or `false`"
    else:
        assert not re.search(r"\d to \d+ ?(seconds|minutes|days)|`true`", row.values)


def test_the_variables_of_libraries_are_those_that_no_warning_names() -> None:
    section = DOCUMENT.partition("## Variables of libraries\n")[2]
    assert set(re.findall(r"`([A-Z_]+)…?`", section)) == set(re.findall(r"[A-Z]+_?", dotenv.FOREIGN.pattern))
