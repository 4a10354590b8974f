"""The suite itself: each test has a time limit, and each wait in it a deadline."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authsvc.conftest import ROOT

FILES = sorted(path for folder in ("tests", "clients") for path in (ROOT / folder).rglob("*.py"))
WAITS = {"result", "exception", "join", "wait", "communicate"}
PROGRAMS = {"run", "check_call", "check_output", "call"}
# The runner of the suite waits for the suite, and a page's own clock is Playwright's.
EXEMPT = {"tests/run.py"}


def unbounded(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each call that waits for another thread or process as long as that takes."""
    barriers = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "Barrier" in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(word.arg in {"timeout", None} for word in node.keywords):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        waits = name in WAITS and not node.args and owner not in barriers
        if waits or (owner == "subprocess" and name in PROGRAMS) or name == "Barrier":
            yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_wait_has_a_deadline(path: Path) -> None:
    if str(path.relative_to(ROOT)) not in EXEMPT:
        assert list(unbounded(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_a_wait_without_a_deadline_is_found() -> None:
    code = """
        future.result()
        thread.join()
        ", ".join(words)
        process.wait()
        process.wait(30)
        subprocess.run(command, check=True)
        subprocess.run(command, timeout=1)
        b = Barrier(3)
        c = Barrier(3, timeout=1)
        c.wait()
    """
    assert list(unbounded(ast.parse("if True:\n" + code))) == [3, 4, 6, 8, 10]


def test_every_test_has_a_time_limit(request: pytest.FixtureRequest) -> None:
    assert 60 <= float(request.config.getini("timeout")) <= 600
