"""``.env``: every line is read as a shell would read it, or refused by its number; a misspelt name is warned of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from authsvc.config.dotenv import Dotenv, Line, parse
from tests.authsvc.conftest import ROOT, run

NAME = "AUTHSVC_TEST_NAME"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a file sets."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.parametrize(
    ("content", "value"),
    [
        pytest.param(b"AUTHSVC_TEST_NAME=a", "a", id="plain"),
        pytest.param(b"\xef\xbb\xbfAUTHSVC_TEST_NAME=a\n", "a", id="byte order mark"),
        pytest.param(b"AUTHSVC_TEST_NAME = a b \n", "a b", id="spaces around"),
        pytest.param(b"  AUTHSVC_TEST_NAME\t=\ta\t\n", "a", id="tabs around"),
        pytest.param(b"export AUTHSVC_TEST_NAME=a\n", "a", id="export"),
        pytest.param(b"export  AUTHSVC_TEST_NAME = 'a'\n", "a", id="export and spaces"),
        pytest.param(b"# c\r\nAUTHSVC_TEST_NAME=a\r\n", "a", id="CRLF"),
        pytest.param(b"# c\rAUTHSVC_TEST_NAME=a\r", "a", id="CR"),
        pytest.param(b"AUTHSVC_TEST_NAME=", "", id="empty"),
        pytest.param(b"AUTHSVC_TEST_NAME=''", "", id="empty in quotes"),
        pytest.param(b"AUTHSVC_TEST_NAME=  # comment", "", id="only a comment"),
        pytest.param(b"AUTHSVC_TEST_NAME=a # comment", "a", id="a comment"),
        pytest.param(b"AUTHSVC_TEST_NAME=a\t#comment = 'x'", "a", id="a comment after a tab"),
        pytest.param(b"AUTHSVC_TEST_NAME='a # b' # comment", "a # b", id="a comment after quotes"),
        pytest.param(b"AUTHSVC_TEST_NAME=a#b", "a#b", id="# inside"),
        pytest.param(b"AUTHSVC_TEST_NAME=#b", "#b", id="# first"),
        pytest.param(b"AUTHSVC_TEST_NAME=a=b==", "a=b==", id="= inside"),
        pytest.param(b"AUTHSVC_TEST_NAME=$A${B}`c`", "$A${B}`c`", id="nothing is expanded"),
        pytest.param(b"AUTHSVC_TEST_NAME='$a \\n \"'", '$a \\n "', id="single quotes"),
        pytest.param(b'AUTHSVC_TEST_NAME="a \\"b\\" \\\\ \\$ \'"', 'a "b" \\ $ \'', id="double quotes"),
        pytest.param(b'AUTHSVC_TEST_NAME="C:\\new"', "C:\\new", id="another backslash"),
        pytest.param(b'AUTHSVC_TEST_NAME=a"b', 'a"b', id="a quote inside"),
        pytest.param("AUTHSVC_TEST_NAME=Zürich".encode(), "Zürich", id="UTF-8"),
    ],
)
def test_a_line_is_read_as_it_is_meant(file: Path, content: bytes, value: str) -> None:
    file.write_bytes(content)
    Dotenv().load(file)
    assert os.environ[NAME] == value


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"A=1\nSIGNUP_ENABLED: false", 'line 2: write SIGNUP_ENABLED=…, with "=" instead of ":".', id=":"),
        pytest.param(b"\n\nsecretword", "line 3: this is not NAME=value; a name has letters", id="a word"),
        pytest.param(b"A=1\r\nMY-SECRETNAME=x", "line 2: this is not NAME=value;", id="a hyphen"),
        pytest.param(b"1A=x", "line 1: this is not NAME=value;", id="a digit first"),
        pytest.param(b"=secretword", "line 1: this is not NAME=value;", id="no name"),
        pytest.param(b"set A=x", "line 1: this is not NAME=value;", id="another shell's word"),
        pytest.param(b"A='secretword", "line 1: the value of A must end with the quote", id="an open quote"),
        pytest.param(b'A="secretword\nB="', "line 1: the value of A must end with the quote", id="two lines"),
        pytest.param(b"A='x' secretword", "line 1: the value of A must end with the quote", id="more after the quote"),
        pytest.param("A=secretword\N{NO-BREAK SPACE}x".encode(), "line 1: the value of A has characters", id="NBSP"),
        pytest.param(b"A=secretword\x1b[0m", "line 1: the value of A has characters that are not text.", id="escape"),
        pytest.param(b"A=1\nB=Z\xfcrich", "line 2: this is not UTF-8; save the file as UTF-8.", id="Latin-1"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_not_repeated(file: Path, content: bytes, sentence: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured) as refused:
        Dotenv().load(file)
    assert str(refused.value).startswith(f".env, {sentence}")
    assert "secretword" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_is_called_that(file: Path, encoding: str) -> None:
    file.write_bytes("SECRET_KEY=x".encode(encoding))
    with pytest.raises(ImproperlyConfigured, match=r"^\.env is UTF-16 or binary: save it as UTF-8 text\.$"):
        Dotenv().load(file)


def test_a_file_that_cannot_be_opened_is_called_that(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.mkdir()
    with pytest.raises(ImproperlyConfigured, match=r"^\.env cannot be read: it is a folder, not a file\.$"):
        Dotenv().load(file)
    file.rmdir()

    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    sentence = r"^\.env cannot be read: Permission denied; make it readable for the user that runs authsvc\.$"
    with pytest.raises(ImproperlyConfigured, match=sentence):
        Dotenv().load(file)


def test_without_a_file_the_environment_stays_as_it_is(file: Path) -> None:
    before = dict(os.environ)
    Dotenv().load(file)
    assert os.environ == before


def test_the_environment_wins_over_the_file_and_of_two_lines_the_last(file: Path) -> None:
    os.environ.update({"GIVEN": "by the shell", "EMPTY": ""})
    file.write_text("GIVEN=file\nEMPTY=file\nUNSET=one\nUNSET=two\n")
    dotenv = Dotenv()
    dotenv.load(file)
    assert [os.environ[name] for name in ("GIVEN", "EMPTY", "UNSET")] == ["by the shell", "", "two"]
    assert dotenv.loaded == {"UNSET": "two"}


def test_a_secret_given_to_the_process_wins_over_the_file_of_the_same_secret(file: Path) -> None:
    os.environ.update({"ONE": "by the shell", "TWO_FILE": "/by/the/shell", "THREE": ""})
    file.write_text("ONE_FILE=/x\nTWO=x\nTHREE_FILE=/x\n")
    dotenv = Dotenv()
    dotenv.load(file)
    assert dotenv.loaded == {"THREE_FILE": "/x"}


def test_names_that_nobody_reads_and_names_set_twice_are_warned_of(file: Path) -> None:
    names = ("SIGNUP_ENABLD=", "secret_key=", "NOTHING_LIKE_IT=", "DJANGO_SUPERUSER_PASSWORD=", "PGSSLMODE=", "TZ=")
    file.write_text("\n".join(["PORT=1", *names, "PORT=2"]))
    dotenv = Dotenv()
    dotenv.load(file)
    assert list(dotenv.warnings({"SIGNUP_ENABLED", "SECRET_KEY", "SECRET_KEY_FILE", "PORT"})) == [
        ".env, line 2: SIGNUP_ENABLD is not a variable of authsvc; did you mean SIGNUP_ENABLED?",
        ".env, line 3: secret_key is not a variable of authsvc; did you mean SECRET_KEY?",
        (
            ".env, line 4: NOTHING_LIKE_IT is not a variable of authsvc: "
            "remove the line, or see .env.example for the names."
        ),
        ".env, line 8: PORT is set again and replaces line 1.",
    ]


def test_a_warning_is_a_line_on_stderr(file: Path, capsys: Any) -> None:
    file.write_text("PORTS=1")
    dotenv = Dotenv()
    dotenv.load(file)
    dotenv.warn({"PORT"})
    warning = "authsvc: .env, line 1: PORTS is not a variable of authsvc; did you mean PORT?\n"
    assert capsys.readouterr().err == warning


def test_the_example_has_no_warnings(capsys: Any) -> None:
    from authsvc.config import environment  # noqa: PLC0415  what it has read is what the settings have asked for

    dotenv = Dotenv()
    dotenv.load(ROOT / ".env.example")
    dotenv.warn(environment.names)
    assert capsys.readouterr().err == ""


def test_what_another_process_has_read_is_not_read_again(file: Path) -> None:
    dotenv = Dotenv()
    dotenv.freeze({NAME: "of before"})
    file.write_text(f"{NAME}=new\nnonsense")
    dotenv.load(file)
    assert os.environ[NAME] == "of before"


def test_a_command_prints_the_warnings_of_the_file_and_works(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SIGNUP_ENABLD=false\nLOG_LEVEL=info")
    program = (
        "from pathlib import Path; from authsvc.config.dotenv import current; import sys;"
        "load = current.load; current.load = lambda path: load(Path(sys.argv[1]));"
        "from authsvc import settings; print(settings.SIGNUP_ENABLED)"
    )
    done = run("-c", program, str(tmp_path / ".env"))
    warning = "authsvc: .env, line 1: SIGNUP_ENABLD is not a variable of authsvc; did you mean SIGNUP_ENABLED?\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", warning)


@given(st.text())
def test_any_text_is_read_or_refused_in_one_sentence(text: str) -> None:
    found: list[Line] = []
    sentence = ""
    try:
        found = list(parse(Path(".env"), text))
    except ImproperlyConfigured as refused:
        sentence = str(refused)
    assert "\n" not in sentence
    assert all(line.value.isprintable() and line.name.isidentifier() for line in found)
