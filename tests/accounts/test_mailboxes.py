"""One mailbox, one account; and nothing is mailed to another mailbox than the one that was typed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core import mail
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import User
from audit.models import AuditEvent
from authsvc.mail import _outbox
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
migration = import_module("accounts.migrations.0006_mailboxes")


def sign_up(api: Api, name: str, email: str) -> Any:
    return api.post("/auth/signup", {"username": name, "email": email, "password": PASSWORD})


def recipients() -> list[str]:
    """Return to whom the mails of this test went."""
    _outbox.submit(lambda: None).result(10)
    return [recipient for message in mail.outbox for recipient in message.recipients()]


@pytest.mark.parametrize(
    ("typed", "stored", "mailed"),
    [
        ("info@faß.de", "info@faß.de", "info@xn--fa-hia.de"),
        ("P@BÜCHER.example", "p@bücher.example", "p@xn--bcher-kva.example"),
        ("p@xn--bcher-kva.example", "p@bücher.example", "p@xn--bcher-kva.example"),
    ],
)
def test_an_address_beyond_ascii_is_kept_and_mailed_to_as_it_was_typed(
    api: Api, typed: str, stored: str, mailed: str
) -> None:
    assert sign_up(api, "carol", typed).json()["email"] == stored
    assert api.post("/auth/password/reset", {"email": typed}).status_code == 202
    assert set(recipients()) == {mailed}
    assert api.post("/auth/login", {"username": typed, "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("p@bücher.example", "p@xn--bcher-kva.example"),
        ("p@xn--bcher-kva.example", "p@BÜCHER.example"),
        ("carol@example.com", "Carol@EXAMPLE.com"),
    ],
)
def test_a_mailbox_has_one_account_however_its_address_is_written(api: Api, first: str, second: str) -> None:
    assert sign_up(api, "carol", first).status_code == 201
    assert errors_of(sign_up(api, "dave", second)) == [("email", "unique")]


def test_two_mailboxes_have_two_accounts(api: Api) -> None:
    assert sign_up(api, "carol", "info@faß.de").status_code == 201
    assert sign_up(api, "dave", "info@fass.de").status_code == 201


@pytest.mark.parametrize(
    "email",
    [
        "\u017f@example.com",
        "adm\u0131n@example.com",
        "weiß@example.com",
        "a@ex\u00adample.com",
        "a@ex\u200dample.com",
        "\u212aarl@example.com",
        '"a"@example.com',
    ],
)
@pytest.mark.parametrize("path", ["/auth/signup", "/auth/password/reset", "/auth/email/verify"])
def test_an_address_that_would_be_another_ones_is_refused_by_every_route(api: Api, path: str, email: str) -> None:
    body = {"email": email, **({"username": "carol", "password": PASSWORD} if path == "/auth/signup" else {})}
    assert {*errors_of(api.post(path, body))} == {("email", "invalid")}
    assert not User.objects.exists()


@pytest.mark.parametrize("email", ["a@ex\u00adample.com", "al\u0131ce@example.com", "al\u0131ce\u017f@example.com"])
def test_a_login_by_what_is_no_address_is_a_bad_credential(api: Api, alice: User, email: str) -> None:
    response = api.post("/auth/login", {"username": email, "password": PASSWORD})
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert User.objects.with_email(email).first() is None


def test_an_address_that_looks_like_another_is_not_set_in_the_console_or_by_code_either(alice: User) -> None:
    alice.email = "adm\u0131n@example.com"
    with pytest.raises(ValidationError) as refused:
        alice.full_clean()
    assert refused.value.message_dict == {"email": ["Enter a valid email address."]}
    with pytest.raises(ValueError, match=r"^not an address$"):
        User.objects.create_user("carol", "adm\u0131n@example.com")


def test_all_faults_of_a_form_come_in_one_answer(api: Api) -> None:
    body = {"username": "a b", "email": "\u212aarl@example.com", "password": PASSWORD}
    assert errors_of(api.post("/auth/signup", body)) == [("email", "invalid"), ("username", "invalid")]


def stored(email: str, **fields: Any) -> User:
    """Return a user whose address is stored as it is given, as it was before."""
    user: User = UserFactory(**fields)
    User.objects.filter(pk=user.pk).update(email=email)
    return user


def addresses() -> dict[str, str | None]:
    return dict(User.objects.values_list("username", "email"))


def test_existing_addresses_get_their_form_and_collisions_are_reported(capsys: Any) -> None:
    stored("plain@example.com", username="plain")
    stored("p@xn--bcher-kva.example", username="encoded")
    stored("so\u00adft@example.com", username="soft")
    stored("a@bücher.example", username="older")
    stored("a@xn--bcher-kva.example", username="newer")
    stored("b@ex\u200dample.com", username="confirmed", email_verified_at=timezone.now())
    stored("b@example.com", username="unconfirmed", email_verified_at=None)
    stored("x@\u2167.example", username="nobody")
    UserFactory(username="service", email=None, is_service=True)
    before = AuditEvent.objects.count()
    migration.normalize_addresses(apps, None)
    assert addresses() == {
        "plain": "plain@example.com",
        "encoded": "p@bücher.example",
        "soft": "soft@example.com",
        "older": "a@bücher.example",
        "newer": None,
        "confirmed": "b@example.com",
        "unconfirmed": None,
        "nobody": None,
        "service": None,
    }
    told = capsys.readouterr().err
    assert told.count("\n") == 3
    for name in ("newer", "unconfirmed", "nobody"):
        assert f"({name}): its address" in told
    assert AuditEvent.objects.count() == before + 3
    migration.normalize_addresses(apps, None)
    assert AuditEvent.objects.count() == before + 3
