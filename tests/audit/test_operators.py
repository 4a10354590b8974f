"""``manage.py createsuperuser``: whoever may do everything has not come out of nowhere."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from audit import services
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
WHO = ("--username", "Root", "--email", "root@example.com")
MADE = [("user:created", "manage.py", "Root", "operator")]

Answers = Callable[..., None]


class Terminal(StringIO):
    """A standard input with somebody behind it."""

    def isatty(self) -> bool:
        return True


def run(*arguments: str, **options: Any) -> str:
    """Run the command and return its stdout."""
    out = StringIO()
    call_command("createsuperuser", *arguments, stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Answer what the command asks, in order; the passwords apart."""

    def give(*texts: str, passwords: tuple[str, ...] = (PASSWORD, PASSWORD)) -> None:
        given, secret = iter(texts), iter(passwords)
        monkeypatch.setattr("builtins.input", lambda prompt="": next(given))
        monkeypatch.setattr(getpass, "getpass", lambda prompt="": next(secret))

    return give


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The password in the environment, where --noinput looks for it."""
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    return


@pytest.mark.usefixtures("password")
def test_an_operator_made_without_questions_is_recorded_and_may_enter(api: Api) -> None:
    assert run("--noinput", *WHO) == "Superuser created successfully.\n"
    assert events() == MADE
    user = User.objects.get()
    assert (user.username, user.email, user.is_staff, user.is_superuser) == ("Root", "root@example.com", True, True)
    assert api.post("/auth/login", {"username": "root", "password": PASSWORD}).status_code == 200


def test_an_operator_made_by_answers_is_recorded(answers: Answers) -> None:
    answers("Root", "root@example.com")
    assert run(stdin=Terminal(), interactive=True).endswith("Superuser created successfully.\n")
    assert (events(), User.objects.get().check_password(PASSWORD)) == (MADE, True)


def test_what_is_asked_again_is_recorded_once(answers: Answers) -> None:
    UserFactory(username="taken")
    passwords = ("12345", "12345", PASSWORD, PASSWORD)
    answers("TAKEN", "not a name", "Root", "not an address", "root@example.com", "n", passwords=passwords)
    told = run(stdin=Terminal(), interactive=True)
    assert "Error: That username is already taken." in told
    assert events() == MADE


def test_nobody_to_ask_is_nobody_made() -> None:
    assert "not running in a TTY" in run(stdin=StringIO(), interactive=True)
    assert (events(), User.objects.exists()) == ([], False)


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--username", "ALICE", "--email", "x@example.com"), "already taken", id="name taken"),
        pytest.param(("--username", "x", "--email", "ALICE@example.com"), "e-mail address is taken.", id="address"),
        pytest.param(("--username", "a b", "--email", "x@example.com"), "A username has letters", id="no name"),
        pytest.param(("--username", "x", "--email", "nowhere"), "valid email", id="no address"),
        pytest.param(("--username", "x"), "--email", id="address missing"),
        pytest.param((), "--username", id="nothing"),
    ],
)
def test_an_operator_that_cannot_be_made_is_a_sentence_and_no_event(
    alice: User, arguments: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("--noinput", *arguments)
    assert (events(), User.objects.get()) == ([], alice)


@pytest.mark.usefixtures("password")
def test_an_operator_that_cannot_be_recorded_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise CommandError("no record")

    monkeypatch.setattr(services, "record", fail)
    with pytest.raises(CommandError, match="no record"):
        run("--noinput", *WHO)
    assert not User.objects.exists()
