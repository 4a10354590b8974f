"""A backup, as docs/operations.md makes it, restored beside: what was given out before still works."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from urllib.parse import urlsplit

import pytest

from tests.flows.conftest import ON_SQLITE, PASSWORD, ROOT, Server, bearer, new_name

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def documented(program: str) -> list[str]:
    """Return a command of the document's section on backups, as its words."""
    (command,) = re.findall(rf"^({program} .*)$", OPERATIONS.partition("## Backup")[2], re.MULTILINE)
    return str(command).split()


def back_up_and_restore(source: str, target: str, folder: Path) -> None:
    """Copy a database by the documented commands; SQLite's by the call that its shell's .backup makes."""
    if ON_SQLITE:
        with closing(connect(urlsplit(source).path[1:])) as old, closing(connect(urlsplit(target).path[1:])) as new:
            old.backup(new)
        return
    words = {'"$DATABASE_URL"': source, '"$NEW_DATABASE_URL"': target, "authsvc.dump": str(folder / "authsvc.dump")}
    for program in ("pg_dump", "pg_restore"):
        subprocess.run(
            [words.get(word, word) for word in documented(program)], check=True, capture_output=True, timeout=120
        )


def test_credentials_outlive_a_restore(
    launch: Callable[..., Server], new_database: Callable[[], str], tmp_path: Path
) -> None:
    before = launch(JWT_ALGORITHM="ES256")
    assert before.manage("rotate_signing_key").returncode == 0
    token = before.sign_up(name := new_name())
    _, key = before.make_key(token)
    pair = before.http.post("/auth/login", json={"username": name, "password": PASSWORD}).json()
    restored = new_database()
    back_up_and_restore(before.database_url, restored, tmp_path)

    after = Server(tmp_path, restored, JWT_ALGORITHM="ES256", SECRET_KEY=before.environment["SECRET_KEY"])
    after.start()
    try:
        answers = [
            after.http.get("/protected/service", headers={"x-api-key": key}),
            after.http.get("/protected/user", headers=bearer(token)),
            after.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}),
            after.http.post("/auth/login", json={"username": name, "password": PASSWORD}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 4
    finally:
        assert after.stop() == 0


@pytest.mark.skipif(not ON_SQLITE, reason="the shell of SQLite is for SQLite")
def test_the_document_copies_a_file_in_use_as_sqlite_wants_it() -> None:
    assert documented("sqlite3") == ["sqlite3", "db.sqlite3", '".backup', 'copy.sqlite3"']
    assert "clear_expired" in OPERATIONS
