"""How a process starts, and how it ends where it must not start: status 1, one sentence, no traceback."""

import gc
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.utils.functional import empty
from gunicorn import util

from authsvc.config import startup
from authsvc.config.environment import PERCENT
from authsvc.database import connections
from authsvc.server import errors
from authsvc.telemetry.shared_counts import SharedCounts
from tests.authsvc.conftest import ROOT, run

CHECK = ("manage.py", "check")
SERVE = ("-m", "gunicorn", "--check-config", "authsvc.wsgi")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has not read its settings yet; afterwards it has those of before again."""
    with monkeypatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "authsvc.settings")
        patch.delitem(sys.modules, "authsvc.settings")
        patch.setattr(django_settings, "_wrapped", empty)
        yield


@pytest.mark.parametrize("command", [CHECK, SERVE], ids=["manage.py", "gunicorn"])
@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        (
            {"SECRET_KEY": ""},
            "SECRET_KEY is missing: set it to at least 32 random characters.",
        ),
        (
            {"SECRET_KEY": "k" * 31},
            "SECRET_KEY is too short: it needs at least 32 characters.",
        ),
        (
            {"SECRET_KEY_FILE": "/nowhere"},
            "SECRET_KEY_FILE names a file that cannot be read (FileNotFoundError).",
        ),
        (
            {"DATABASE_URL": "postgres://u:hunter2@host:99999/db"},
            f"DATABASE_URL is not a URL that can be read; {PERCENT}.",
        ),
        (
            {"DATABASE_URL": "postgres://u:hunter2@127.0.0.1:1/db?foo=1"},
            "DATABASE_URL has the option 'foo', which PostgreSQL does not know.",
        ),
        (
            {"EMAIL_URL": "filemail://"},
            "EMAIL_URL must name a folder by its whole path, as in filemail:///var/mails.",
        ),
        (
            {"DEBUG": "maybe"},
            "DEBUG must be true or false, not 'maybe'.",
        ),
        (
            {"API_KEY_EXPIRE_DAYS": "20", "API_KEY_MAX_EXPIRE_DAYS": "10"},
            "API_KEY_EXPIRE_DAYS must not be greater than API_KEY_MAX_EXPIRE_DAYS.",
        ),
    ],
    ids=["missing key", "short key", "absent file", "port", "option", "folder", "boolean", "combination"],
)
def test_a_process_with_a_wrong_setting_ends_with_status_1_and_one_sentence(
    command: tuple[str, ...], variable: dict[str, str], sentence: str
) -> None:
    done = run(*command, **variable)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"authsvc: {sentence}\n"


@pytest.mark.parametrize("content", ["garbage", '{"public_keys": [{"key": "x", "key_identifier": "y"}]}'])
@pytest.mark.parametrize("command", [CHECK, SERVE], ids=["manage.py", "gunicorn"])
def test_a_process_with_a_file_of_keys_that_holds_none_does_not_start(
    command: tuple[str, ...], tmp_path: Path, content: str
) -> None:
    (tmp_path / "keys.json").write_text(content, encoding="utf-8")
    done = run(*command, LEAK_REPORT_KEYS_FILE=str(tmp_path / "keys.json"))
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
    assert "LEAK_REPORT_KEYS_FILE names a file that does not hold GitHub's public keys (" in done.stderr


def test_the_settings_are_the_projects_own_unless_another_module_is_named(
    unread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    monkeypatch.setenv("THREADS", "0")
    with pytest.raises(SystemExit) as ended:
        startup.require_settings()
    assert ended.value.code == "authsvc: THREADS must be a whole number from 1 to 256, not '0'."


def test_a_process_with_good_settings_starts_and_finds_every_view_guarded() -> None:
    startup.require_settings()
    startup.require_checks()
    assert django_settings.ROOT_URLCONF == "authsvc.urls"


def test_a_server_with_an_unguarded_view_ends_with_one_sentence_for_each_declaration_that_lacks(broken: None) -> None:
    with pytest.raises(SystemExit) as ended:
        startup.require_checks()
    sentences = str(ended.value.code).splitlines()
    assert "authsvc: authsvc.E001: tests.authsvc.urls.Undeclared does not declare permission_classes." in sentences
    assert all(sentence.startswith("authsvc: authsvc.E001: tests.authsvc.urls.") for sentence in sentences)


def test_the_command_line_passes_its_words_to_django(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["manage.py", "version"])
    runpy.run_path(str(ROOT / "manage.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("5.2.")


def test_the_command_line_does_nothing_when_it_is_only_imported(capsys: Any) -> None:
    assert "require_settings" in runpy.run_path(str(ROOT / "manage.py"))
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("committed")
def test_the_wsgi_module_has_djangos_application() -> None:
    assert isinstance(runpy.run_path(str(ROOT / "authsvc" / "wsgi.py"))["application"], WSGIHandler)


@pytest.fixture
def gunicorn_settings(use: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What gunicorn reads of its file."""
    # It reads the settings in another process, under the same variables.
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "authsvc.settings")
    use(PORT="9000", WEB_CONCURRENCY="3", THREADS="5", LOG_LEVEL="WARNING")
    return runpy.run_path(str(ROOT / "gunicorn.conf.py"))


def test_gunicorn_serves_on_loopback_as_the_variables_say(gunicorn_settings: dict[str, Any]) -> None:
    names = ("bind", "workers", "threads", "worker_class")
    assert [gunicorn_settings[name] for name in names] == ["127.0.0.1:9000", 3, 5, "authsvc.server.worker.Worker"]
    assert gunicorn_settings["logconfig_dict"]["loggers"]["gunicorn.error"]["level"] == "WARNING"
    assert gunicorn_settings["control_socket_disable"] is True
    assert gunicorn_settings["limit_request_field_size"] == 16_386
    assert gunicorn_settings["worker_tmp_dir"] == "/dev/shm"


def test_each_worker_of_gunicorn_answers_with_problems(
    gunicorn_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = []
    monkeypatch.setattr(util, "write_error", util.write_error)
    monkeypatch.setattr(gc, "freeze", lambda: settled.append("frozen"))
    monkeypatch.setattr(gc, "set_threshold", lambda *numbers: settled.append(numbers))
    gunicorn_settings["post_worker_init"](object())
    assert util.write_error is errors.write_problem
    assert settled == ["frozen", (10_000, 10, 10)]


def test_gunicorn_gives_each_process_a_core(gunicorn_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *arguments: calls.append(arguments), raising=False)
    monkeypatch.setitem(gunicorn_settings["post_fork"].__globals__, "counts", SharedCounts(slots=4, size=1024))
    worker, arbiter = SimpleNamespace(), SimpleNamespace(WORKERS={}, num_workers=3)
    gunicorn_settings["pre_fork"](arbiter, worker)
    gunicorn_settings["post_fork"](arbiter, worker)
    assert calls == [(0, {0})]


def test_gunicorn_accepts_the_configuration(tmp_path: Path) -> None:
    done = run(*SERVE, DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Traceback" not in done.stderr


def test_a_process_without_redis_does_not_load_its_client() -> None:
    program = "import sys, authsvc.wsgi; print({'redis', 'authsvc.ratelimit'} & sys.modules.keys())"
    assert run("-c", program, REDIS_URL="").stdout == "{'authsvc.ratelimit'}\n"


def test_a_database_that_cannot_be_worked_with_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "unsupported", lambda: "The database is odd.")
    with pytest.raises(SystemExit) as ended:
        startup.require_database()
    assert ended.value.code == "authsvc: The database is odd."
