"""docs/troubleshooting.md has every answer, every start-up sentence and every warning that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import get_resolver
from rest_framework import exceptions

from authsvc import problems
from authsvc.config import mistakes
from authsvc.server import errors
from tests.authsvc.conftest import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
APPS = ("authsvc", "accounts", "apikeys", "audit", "gateway", "protected")
FILES = [
    path
    for app in APPS
    for path in sorted((ROOT / app).rglob("*.py"))
    if not {"migrations", "admin"} & set(path.parts) and path.name not in {"admin.py", "console.py"}
]
# Calls that take a sentence for a client or an operator, and the place of the sentence among their arguments.
TO_CLIENTS = {"problem": 1, "ParseError": 0, "UnsupportedBody": 0, "PermissionDenied": 0}
TO_OPERATORS = {"ImproperlyConfigured": 0, "UnsupportedDatabaseError": 0}
MIN_LENGTH = 4  # of a constant part of a sentence that says anything
CHECK_ID = re.compile(rf'id="((?:{"|".join(APPS)})\.[EWC]\d+)"')


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Yield the syntax tree of each file of the product."""
    for path in FILES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def texts(node: ast.AST) -> list[tuple[str, ...]]:
    """Return the constant parts of each text that an expression can be: a literal, a template, either of two."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [tuple(re.split(r"%[sd]", node.value))]
    if isinstance(node, ast.JoinedStr):
        return [tuple(part.value for part in node.values if isinstance(part, ast.Constant))]
    if isinstance(node, ast.IfExp):
        return texts(node.body) + texts(node.orelse)
    return []


def named(tree: ast.Module) -> dict[str, ast.AST]:
    """Return what simple names are assigned anywhere in a module: a constant, or the message of a raise."""
    return {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def arguments(calls: dict[str, int], within: str = "") -> Iterator[tuple[str, ...]]:
    """Yield the texts that are passed to calls, literally or by a name of the same module."""
    for path, tree in trees():
        if within not in path.as_posix():
            continue
        names = named(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                place = calls.get(ast.unparse(node.func).rpartition(".")[2])
                if place is not None and len(node.args) > place:
                    given = node.args[place]
                    yield from texts(names.get(given.id, given) if isinstance(given, ast.Name) else given)


def stands(parts: tuple[str, ...], page: str = PAGE) -> bool:
    """Say whether a line of the page has the constant parts of a text, in their order."""
    pattern = ".*".join(re.escape(part.strip()) for part in parts if len(part.strip()) >= MIN_LENGTH)
    return re.search(pattern, page) is not None


def default_details() -> Iterator[str]:
    """Yield the sentence of each exception of ours that becomes a problem."""
    get_resolver().url_patterns  # noqa: B018  loads every view, and so every exception that one raises
    waiting = [exceptions.APIException]
    while waiting:
        kinds = waiting.pop().__subclasses__()
        waiting += kinds
        for kind in kinds:
            if kind.__module__.partition(".")[0] in APPS and "default_detail" in vars(kind):
                yield str(kind.default_detail)


def test_every_detail_of_a_problem_stands_in_the_page() -> None:
    fixed = [value for name, value in vars(problems).items() if name.isupper() and isinstance(value, str)]
    sentences = [value for value in (*fixed, *errors.DETAILS.values(), *default_details()) if value.endswith(".")]
    messages = [text for _, tree in trees() for node in classes(tree) for text in texts(node) if text[-1].endswith(".")]
    passed = list(arguments(TO_CLIENTS))
    assert [parts for parts in [*((text,) for text in sentences), *messages, *passed] if not stands(parts)] == []
    some = {problems.NOT_GRANTED, errors.DETAILS[408], "The key is revoked and cannot be changed."}
    assert (some - set(sentences), len(messages) > 0, len(passed) > 12) == (set(), True, True)


def classes(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what the classes of a module have as ``message``: how a permission says no."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "message":
                    yield line.value


def codes() -> set[str]:
    """Return the codes that the errors of an answer can have, but for those of Django's and DRF's own fields."""
    found: set[str] = {problems.MORE_ERRORS}
    for _, tree in trees():
        names = named(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            given = [word.value for word in node.keywords if word.arg == "code"]
            given += [value for value in (names.get("code"),) if value is not None and called == "ValidationError"]
            given += node.args[1:2] if called in {"ErrorDetail", "field_error"} else []
            given += node.args[:1] if called == "link_error" else []
            found |= {text[0] for value in given for text in texts(value) if len(text) == 1}
    for kind in problems.ProblemException.__subclasses__():
        found.add(kind.default_code)
    return found


def test_every_code_of_an_error_stands_in_the_page() -> None:
    section = PAGE.partition("\n## Codes of errors\n")[2].partition("\n## ")[0]
    assert sorted(code for code in codes() if f"`{code}`" not in section) == []
    assert {"unique", "exclusive", "too_many_members", "used", "more_errors", "invalid_network"} <= codes()


def statuses() -> set[int]:
    """Return the statuses of problems: what is passed to ``problem``, and what exceptions and the server have."""
    found = set(errors.DETAILS) | {408, 414, 431}
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "problem" and node.args:
                found |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "status_code":
                found |= {node.value.value} if isinstance(node.value, ast.Constant) else set()
    return {status for status in found if status >= 400}


def test_every_status_has_its_heading_by_its_title() -> None:
    headings = set(re.findall(r"^## (\d{3} .*)$", PAGE, re.MULTILINE))
    assert {f"{status} {problems.title(status)}" for status in statuses()} - headings == set()
    assert {heading for heading in headings if problems.title(int(heading[:3])) != heading[4:]} == set()


def test_every_sentence_that_ends_a_start_stands_in_the_page() -> None:
    found = [*arguments(TO_OPERATORS), *arguments({"exit": 0, "ValueError": 0}, within="authsvc/config/dotenv.py")]
    found += list(arguments({"exit": 0}, within="authsvc/server/lifecycle.py"))
    assert [parts for parts in found if not stands(without_prefix(parts))] == []
    assert len(found) > 40


def without_prefix(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return a sentence without the name of the program before it."""
    return (parts[0].removeprefix("authsvc: "), *parts[1:])


def test_every_advice_on_a_database_stands_beside_what_the_database_says() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    missing = [pair for pair in mistakes.ADVICE if not any(pair[0] in row and f"| {pair[1]} |" in row for row in rows)]
    assert missing == []


def test_every_system_check_of_ours_stands_in_the_page() -> None:
    ids = {found for path in FILES for found in CHECK_ID.findall(path.read_text(encoding="utf-8"))}
    assert sorted(found for found in ids if f"`{found}`" not in PAGE) == []
    assert {"authsvc.E001", "authsvc.W002", "apikeys.E001"} <= ids


def test_every_warning_in_the_log_stands_in_the_page() -> None:
    found = list(arguments({"warning": 0, "error": 0, "critical": 0, "warn_once": 0}))
    assert [parts for parts in found if not stands(parts)] == []
    assert len(found) > 15


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param(("A value of ", " is wrong."), True, id="a template"),
        pytest.param(("A value of ", " is right."), False, id="another"),
        pytest.param((" is wrong.", "A value of "), False, id="in another order"),
    ],
)
def test_a_sentence_is_found_by_its_constant_parts(parts: tuple[str, ...], expected: bool) -> None:
    assert stands(parts, "| A value of … is wrong. | correct it |\n| A value |\n") is expected
