"""Confirming an address by a link from a mail, and a login that waits for it where the operator says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Lockout, User
from accounts.services import mail_links
from accounts.services.registration import get_or_create_service_account
from accounts.services.users import set_active
from tests.accounts.conftest import SIGNUP, at_once
from tests.accounts.mails import link_error_of, link_in, mailed, sent, token_in
from tests.apikeys.forms import form_with
from tests.audit.conftest import events
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import PASSWORD, UserFactory, token_of

ASK, CONFIRM = "/auth/email/verify", "/auth/email/verify/confirm"
RESET, RESET_CONFIRM = "/auth/password/reset", "/auth/password/reset/confirm"
LOGIN = {"username": "alice", "password": PASSWORD}
USERS = "/admin/accounts/user/"
START = "2027-01-31T12:00:00Z"
NOT_CONFIRMED = {
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
    "detail": "The e-mail address of this account is not confirmed; open the link that was mailed to it.",
    "errors": [
        {
            "field": "email",
            "code": "email_not_confirmed",
            "message": "The e-mail address of this account is not confirmed; open the link that was mailed to it.",
        }
    ],
}
TEXT = """\
Somebody, most likely you, gave this address for the account Alice.

To confirm it within 30 minutes, open

    {link}

If you did not sign up, leave it: whoever did could use the account under your address.
"""


@pytest.fixture
def required(settings: Any) -> None:
    """Addresses must be confirmed here."""
    settings.REQUIRE_VERIFIED_EMAIL = True


@pytest.fixture
def token(api: Api, alice: User) -> str:
    """What was mailed to alice."""
    return mailed(api, ASK, "alice@example.com")


def confirm(api: Api, token: str) -> Any:
    return api.post(CONFIRM, {"token": token})


def is_confirmed(user: User) -> bool:
    return User.objects.get(pk=user.pk).email_verified_at is not None


# --- The mail and its link ------------------------------------------------------------------------------------------


def test_the_mail_names_the_account_and_has_the_link_to_the_page_of_the_app(
    api: Api, alice: User, settings: Any
) -> None:
    settings.APP_URL = "https://app.example"
    response = api.post(ASK, {"email": "ALICE@example.com"})
    (message,) = sent()
    link = link_in(message)
    assert (response.status_code, response.json()) == (202, {"status": "accepted"})
    assert (message.subject, message.to, message.body) == (
        "Confirm your address",
        ["alice@example.com"],
        TEXT.format(link=link),
    )
    assert link == f"https://app.example/confirm-email?token={token_in(message)}"


@pytest.fixture
def people(alice: User) -> None:
    """One of each kind that can be asked for."""
    UserFactory(username="confirmed", email_verified_at=timezone.now())
    UserFactory(username="disabled", is_active=False)
    robot = get_or_create_service_account(name="robot")
    User.objects.filter(pk=robot.pk).update(email="robot@example.com")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("name", ["nobody", "confirmed", "disabled", "robot"])
def test_the_answer_and_the_work_are_the_same_where_there_is_nothing_to_confirm(api: Api, name: str) -> None:
    with CaptureQueriesContext(connection) as useful:
        usual = api.post(ASK, {"email": "alice@example.com"})
    with CaptureQueriesContext(connection) as useless:
        response = api.post(ASK, {"email": f"{name}@example.com"})
    assert (response.status_code, response.content, response.headers.keys()) == (
        usual.status_code,
        usual.content,
        usual.headers.keys(),
    )
    assert len(useful) == len(useless)
    assert [message.to for message in sent()] == [["alice@example.com"]]


def test_the_link_confirms_the_address_and_it_is_recorded_once(api: Api, alice: User, token: str) -> None:
    with time_machine.travel(timezone.now().replace(microsecond=0), tick=False) as clock:
        answers, now = [confirm(api, token)], timezone.now()
        answers.append(confirm(api, token))
        clock.shift(3600)
        answers.append(confirm(api, token))
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3
    assert User.objects.get(pk=alice.pk).email_verified_at == now
    assert [event for event in events() if event[0] == "user:email_confirmed"] == [
        ("user:email_confirmed", "Alice", "Alice", "")
    ]


@pytest.mark.parametrize(("seconds", "status"), [(1800, 204), (1801, 400)], ids=["last", "late"])
def test_it_works_for_thirty_minutes_to_the_second(api: Api, alice: User, seconds: int, status: int) -> None:
    with time_machine.travel(START, tick=False) as clock:
        token = mailed(api, ASK, "alice@example.com")
        clock.shift(seconds)
        response = confirm(api, token)
        assert response.status_code == status
        assert status == 204 or link_error_of(response) == "expired"
    assert is_confirmed(alice) is (status == 204)


def change_address(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@example.org")


def disable(alice: User) -> None:
    set_active(user=alice, active=False)


def turn_into_a_service(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_service=True)


@pytest.mark.parametrize(
    ("happen", "code"), [(change_address, "used"), (disable, "invalid"), (turn_into_a_service, "invalid")]
)
def test_what_happens_in_between_voids_it(
    api: Api, alice: User, token: str, happen: Callable[[User], None], code: str
) -> None:
    happen(alice)
    assert link_error_of(confirm(api, token)) == code
    assert not is_confirmed(alice)


def test_a_login_and_a_new_password_in_between_do_not_matter(api: Api, alice: User, token: str) -> None:
    assert api.post("/auth/login", LOGIN).status_code == 200
    body = {"current_password": PASSWORD, "new_password": "another-horse-battery"}
    assert api.post("/auth/password", body, token=token_of(alice)).status_code == 204
    assert (confirm(api, token).status_code, is_confirmed(alice)) == (204, True)


@pytest.mark.parametrize(
    "text", ["junk", "-", "1-", "x" * 10_000, "é-é-é"], ids=["junk", "dash", "no rest", "long", "letters"]
)
def test_a_token_that_is_none_is_refused(api: Api, alice: User, text: str) -> None:
    assert link_error_of(confirm(api, text)) == "invalid"


def test_a_token_that_sets_a_password_and_one_of_another_user_confirm_nothing(
    api: Api, alice: User, bob: User, token: str
) -> None:
    reset = mailed(api, RESET, "alice@example.com")
    crossed = f"{mailed(api, ASK, 'bob@example.com').partition('-')[0]}-{token.partition('-')[2]}"
    assert [link_error_of(confirm(api, text)) for text in (reset, crossed)] == ["invalid", "invalid"]
    assert (is_confirmed(alice), is_confirmed(bob)) == (False, False)


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({}, [("token", "required")], id="empty"),
        pytest.param({"token": None}, [("token", "null")], id="null"),
        pytest.param({"token": 7}, [("token", "invalid")], id="number"),
        pytest.param({"token": "x", "email": "x"}, [("email", "unknown")], id="one field more"),
    ],
)
def test_a_body_that_is_none_is_named_by_field(api: Api, db: None, body: Any, errors: list[tuple[str, str]]) -> None:
    assert errors_of(api.post(CONFIRM, body)) == errors
    assert errors_of(api.post(ASK, {"email": "nothing"})) == [("email", "invalid")]


def test_five_mails_an_hour_whatever_was_sent_for_a_password(api: Api, alice: User) -> None:
    asked = [api.post(route, {"email": "alice@example.com"}).status_code for route in [ASK] * 7 + [RESET]]
    assert asked == [202] * 8
    subjects = [message.subject for message in sent()]
    assert subjects == ["Confirm your address"] * 5 + ["Set a new password"]


def test_one_address_asks_thirty_times_a_minute_for_either_mail(api: Api, db: None) -> None:
    body = {"email": "nobody@example.com"}
    answers = [api.post(route, body).status_code for route in [ASK, RESET] * 15 + [ASK, RESET]]
    assert answers == [202] * 30 + [429] * 2


def test_an_address_that_changes_while_it_is_confirmed_is_not_confirmed(
    api: Api, alice: User, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed_meanwhile(*, user: User, actor: User) -> bool:
        change_address(user)
        return False

    monkeypatch.setattr(mail_links, "mark_email_confirmed", changed_meanwhile)
    assert link_error_of(confirm(api, token)) == "used"
    assert not is_confirmed(alice)


@pytest.mark.django_db(transaction=True)
def test_of_parallel_uses_of_one_link_one_is_recorded(api: Api, alice: User, token: str) -> None:
    answers = at_once([lambda: confirm(Api(), token).status_code] * 8)
    assert answers == [204] * 8
    assert [event for event, *_ in events()].count("user:email_confirmed") == 1


# --- Where it is required -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("required", "alice")
def test_a_login_with_the_right_password_before_it_is_told_so(api: Api) -> None:
    response = api.post("/auth/login", LOGIN)
    assert (response.status_code, response.json()) == (403, NOT_CONFIRMED)
    assert (response["Content-Type"], response.has_header("WWW-Authenticate")) == ("application/problem+json", False)
    assert events()[-1] == ("user:login_failed", "", "Alice", "address not confirmed")


@pytest.mark.usefixtures("required", "alice")
def test_a_login_with_a_wrong_password_before_it_is_rejected_like_any_other(api: Api) -> None:
    response = api.post("/auth/login", {**LOGIN, "password": "wrong"})
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert events()[-1] == ("user:login_failed", "", "Alice", "password wrong")


@pytest.mark.usefixtures("required")
def test_the_right_password_before_it_does_not_count_as_a_failure(api: Api, token: str) -> None:
    assert [api.post("/auth/login", LOGIN).status_code for _ in range(8)] == [403] * 8
    assert not Lockout.objects.filter(failures__gt=0).exists()
    assert confirm(api, token).status_code == 204
    assert api.post("/auth/login", LOGIN).status_code == 200


@pytest.mark.usefixtures("required")
@pytest.mark.parametrize("column", [{"is_active": False}, {"is_service": True}], ids=str)
def test_who_cannot_log_in_at_all_is_not_told_of_the_address(api: Api, alice: User, column: dict[str, bool]) -> None:
    User.objects.update(**column)
    response = api.post("/auth/login", LOGIN)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)


@pytest.mark.usefixtures("required")
def test_the_link_opens_the_login(api: Api, token: str) -> None:
    assert api.post("/auth/login", LOGIN).status_code == 403
    assert confirm(api, token).status_code == 204
    assert api.post("/auth/login", LOGIN).status_code == 200


@pytest.mark.parametrize("is_required", [True, False])
def test_every_sign_up_mails_a_confirmation(api: Api, db: None, settings: Any, is_required: bool) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = is_required
    assert api.post("/auth/signup", SIGNUP).status_code == 201
    (message,) = sent()
    assert (message.subject, message.to) == ("Confirm your address", ["carol@example.com"])
    carol = User.objects.get(username="carol")
    assert (carol.confirmation_sent_at is not None, carol.email_verified_at) == (True, None)
    assert confirm(api, token_in(message)).status_code == 204
    assert is_confirmed(carol)


def test_a_mail_that_fails_fails_no_sign_up(
    api: Api, db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(mail_links.mail, "send", fail)
    assert api.post("/auth/signup", SIGNUP).status_code == 201
    assert User.objects.filter(username="carol").exists()
    assert "a confirmation could not be mailed" in caplog.text


@pytest.mark.usefixtures("required")
def test_a_sign_up_sends_the_mail_and_its_link_opens_the_login(api: Api, db: None) -> None:
    assert api.post("/auth/signup", SIGNUP).status_code == 201
    (message,) = sent()
    login = {"username": "carol", "password": SIGNUP["password"]}
    assert (message.to, api.post("/auth/login", login).status_code) == (["carol@example.com"], 403)
    assert confirm(api, token_in(message)).status_code == 204
    assert api.post("/auth/login", login).status_code == 200


def test_a_sign_up_elsewhere_logs_in_at_once(api: Api, db: None) -> None:
    assert api.post("/auth/signup", SIGNUP).status_code == 201
    assert api.post("/auth/login", {"username": "carol", "password": SIGNUP["password"]}).status_code == 200


@pytest.mark.usefixtures("required")
def test_a_new_password_by_mail_confirms_the_address_too(api: Api, alice: User) -> None:
    body = {"token": mailed(api, RESET, "alice@example.com"), "new_password": "another-horse-battery"}
    assert (api.post(RESET_CONFIRM, body).status_code, is_confirmed(alice)) == (204, True)
    assert api.post("/auth/login", {**LOGIN, "password": body["new_password"]}).status_code == 200


def test_a_new_password_by_mail_leaves_the_time_of_the_confirmation(api: Api, alice: User, token: str) -> None:
    confirm(api, token)
    confirmed = User.objects.get(pk=alice.pk).email_verified_at
    body = {"token": mailed(api, RESET, "alice@example.com"), "new_password": "another-horse-battery"}
    assert api.post(RESET_CONFIRM, body).status_code == 204
    assert User.objects.get(pk=alice.pk).email_verified_at == confirmed


@pytest.mark.usefixtures("required")
def test_an_operator_made_by_the_command_logs_in_at_once(api: Api, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", "--noinput", "--username=root", "--email=root@example.com", verbosity=0)
    assert api.post("/auth/login", {"username": "root", "password": PASSWORD}).status_code == 200
    body = {"username": "root", "password": PASSWORD}
    assert api.client.post("/admin/login/?next=/admin/", body).status_code == 302


@pytest.mark.usefixtures("required")
def test_an_operator_whose_address_is_not_confirmed_does_not_get_into_the_console(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = Client()
    assert client.post("/admin/login/?next=/admin/", LOGIN).status_code == 200
    assert client.get("/admin/").status_code == 302


# --- By an operator -------------------------------------------------------------------------------------------------


@pytest.fixture
def console(db: None) -> Client:
    client = Client()
    client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    return client


@pytest.mark.usefixtures("required")
def test_an_operator_confirms_addresses_and_it_is_recorded_once_each(
    console: Client, api: Api, alice: User, bob: User
) -> None:
    robot = get_or_create_service_account(name="robot")
    before = len(events())
    chosen = {"action": "confirm_addresses", "_selected_action": [alice.pk, bob.pk, robot.pk]}
    pages = [console.post(USERS, chosen, follow=True).content.decode() for _ in range(2)]
    assert ["Confirmed 2 of 3 addresses." in pages[0], "Confirmed 0 of 3 addresses." in pages[1]] == [True, True]
    assert sorted(events()[before:]) == [
        ("user:email_confirmed", "root", "Alice", ""),
        ("user:email_confirmed", "root", "bob", ""),
    ]
    assert api.post("/auth/login", LOGIN).status_code == 200


def test_the_page_of_a_user_shows_when_it_was_confirmed_and_takes_no_word_for_it(
    console: Client, api: Api, alice: User
) -> None:
    path = f"{USERS}{alice.pk}/change/"
    form = form_with(console.get(path), "username")
    assert (
        console.post(path, {**form, "email_verified_at_0": "2027-01-01", "email_verified_at_1": "12:00:00"}).status_code
        == 302
    )
    assert not is_confirmed(alice)
    assert "Address confirmed" in console.get(path).content.decode()


def test_an_address_that_an_operator_changes_is_not_the_one_that_was_confirmed(
    console: Client, api: Api, alice: User, token: str
) -> None:
    assert confirm(api, token).status_code == 204
    path = f"{USERS}{alice.pk}/change/"
    assert (
        console.post(path, {**form_with(console.get(path), "username"), "email": "new@example.com"}).status_code == 302
    )
    assert (User.objects.get(pk=alice.pk).email, is_confirmed(alice)) == ("new@example.com", False)
