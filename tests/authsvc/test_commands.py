"""The base of commands: a result on stdout, everything else on stderr, one sentence and status 1 for what is wrong."""

import logging
import os
import sys
from argparse import ArgumentParser
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import OperationalError, connection

from authsvc.commands import SentenceCommand, whole_number
from authsvc.telemetry import logs
from tests.authsvc.conftest import run

START = "start PostgreSQL, or correct the host and port in DATABASE_URL."
KEY = f"my_app_{'A1b' * 16}C"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
FAILURES: dict[str, Exception] = {
    "command": CommandError("There is no such thing."),
    "validation": ValidationError({"name": ["A key needs a name."], "scopes": ["No."]}),
    "key": CommandError(f"There is no user {KEY!r}, and no {TOKEN}."),
    "database": OperationalError("connection refused\n\tIs the server running there?"),
}


class Command(SentenceCommand):
    """Answers, or fails in one of the ways that commands fail."""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fail", choices=FAILURES)
        parser.add_argument("--count")

    def handle(self, *args: Any, **options: Any) -> str:
        self.tell("Working.")
        self.events_are_shown = logging.getLogger(logs.AUDIT).propagate
        if options["fail"]:
            raise FAILURES[options["fail"]]
        return "answer"


def test_the_result_alone_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    command = Command()
    command.run_from_argv(["manage.py", "command"])
    assert capsys.readouterr() == ("answer\n", "Working.\n")
    assert (command.events_are_shown, logging.getLogger(logs.AUDIT).propagate) == (False, True)
    assert connection.connection is None


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("command", "There is no such thing."),
        ("validation", "A key needs a name. No."),
        ("key", "There is no user '***', and no ***."),
        (
            "database",
            f"The database cannot be used: connection refused; {START}",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_on_stderr_and_status_1(
    capsys: pytest.CaptureFixture[str], failure: str, sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "command", "--fail", failure])
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", f"Working.\n{sentence}\n")


def test_a_reader_who_has_gone_is_status_1_and_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        with pytest.raises(SystemExit) as ended:
            Command().run_from_argv(["manage.py", "command"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Working.\nThe result cannot be written to standard output: Broken pipe.\n"


def test_a_full_disk_is_status_1_and_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123  a device
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            Command().run_from_argv(["manage.py", "command"])
    assert ended.value.code == 1
    sentence = "The result cannot be written to standard output: No space left on device."
    assert capsys.readouterr().err == f"Working.\n{sentence}\n"


def test_a_stdout_that_was_closed_is_status_1_and_one_sentence_where_there_is_a_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "command"])
    sys.stdout.close()  # what stood in for it
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Working.\nThe result cannot be written to standard output: not writable.\n"


def test_a_stderr_that_was_closed_takes_nothing_from_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    Command().run_from_argv(["manage.py", "command"])
    assert capsys.readouterr().out == "answer\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--no-such-option"], "there are arguments that this command does not know."),
        (["one", "too", "many"], "there are arguments that this command does not know."),
        (["--fail", "otherwise"], "argument --fail: invalid choice: 'otherwise'"),
        (["--fail", KEY], "argument --fail: invalid choice: '***'"),
        (["--count"], "argument --count: expected one argument"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_status_1(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "command", *arguments])
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (1, "", 1)
    assert sentence in err


def test_a_key_in_the_place_of_a_commands_name_is_not_repeated() -> None:
    done = run("manage.py", KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Unknown command: '***'\nType 'manage.py help' for usage.\n"


@pytest.mark.parametrize(
    "url", ["postgres://u:hunter2@127.0.0.1:1/db", "sqlite:////nowhere/db.sqlite3"], ids=["postgresql", "sqlite"]
)
def test_a_database_away_is_one_sentence_without_the_password(url: str) -> None:
    done = run("manage.py", "list_api_keys", DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The database cannot be used: ")
    assert (done.stderr.count("\n"), "hunter2" in done.stderr) == (1, False)


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("7", 7), ("007", 7), ("-1", -1), ("9" * 30, 10**30 - 1)])
def test_a_whole_number_is_read(value: str, expected: int) -> None:
    assert whole_number("--count", value) == expected
    assert isinstance(whole_number("--count", value), int)


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_that_python_would_not_convert_is_beyond_every_range(sign: str) -> None:
    assert abs(whole_number("--count", sign + "9" * 100_000)) > 10**3000


@pytest.mark.parametrize(
    "value", ["", "-", "+1", "1.0", " 1", "1\n", "1e3", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}"]
)
def test_what_is_no_whole_number_is_refused_by_the_options_name(value: str) -> None:
    with pytest.raises(CommandError) as refused:
        whole_number("--count", value)
    assert str(refused.value) == f"--count must be a whole number, not {value!r}."
