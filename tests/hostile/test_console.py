"""What a browser can make the console do, with an operator's session and without one: every page of it."""

from __future__ import annotations

import json
import re

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from accounts.models import Role, Scope, User
from apikeys.models import APIKey
from authsvc.web.console_sessions import SessionStore
from tests.factories import UserFactory, make_key, make_role
from tests.hostile.caller import Call, Caller, routes
from tests.hostile.inputs import COOKIES, FORMS, HEADERS, PART, QUERIES

MULTIPART = "multipart/form-data; boundary=x"
FORM = "application/x-www-form-urlencoded"
FILE = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + b"a" * 900_000 + b"\r\n--x--\r\n"
HEADER = b'--x\r\nContent-Disposition: form-data; name="a"; b="' + b";" * 900 + b"\r\n\r\n1\r\n"
EVERYTHING = (*FORMS, FILE, HEADER * 60, HEADER * 900, PART * 100, b"--x" * 20_000, b"\r\n--x" * 12_500)


def path_of(route: str, key_id: int) -> str:
    """Return an address that a route answers."""
    path = re.sub(r"<(path:)?(object_id|id)>", str(key_id), route).replace("<path:content_type_id>", "1")
    return path.replace("^(?P<app_label>audit|accounts|apikeys)/$", "accounts/").replace("(?P<url>.*)$", "nothing/here")


PAGES = sorted({path_of(route, 1) for route in routes() if route.startswith("/admin/")})


@pytest.fixture(scope="module")
def caller() -> Caller:
    return Caller()


@pytest.fixture
def operator(alice: User) -> dict[str, str]:
    """The cookie of a superuser's session, and a header that passes CSRF protection."""
    root = UserFactory(username="root", is_staff=True, is_superuser=True)
    make_key(alice)
    session = SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(root.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = root.get_session_auth_hash()
    session.save()
    csrf = "a" * 32
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}; csrftoken={csrf}", "X-CSRFToken": csrf}


def test_the_operators_session_is_one(caller: Caller, operator: dict[str, str]) -> None:
    assert caller.send(Call("GET", "/admin/", operator)).status == 200
    assert caller.send(Call("GET", "/admin/")).status == 302


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_nobody_without_a_session_can_make_a_page_work(caller: Caller, path: str) -> None:
    get, post = Call("GET", path), Call("POST", path, {"Content-Type": FORM}, b"a=1")
    cost = {"GET": caller.seconds(get), "POST": caller.seconds(post)}
    for query in QUERIES[:4]:
        caller.check(get._replace(query=query), cost["GET"])
    for content_type in (FORM, MULTIPART):
        for body in EVERYTHING if path in {"/admin/", "/admin/login/"} else (FORMS[0], FILE):
            caller.check(post._replace(headers={"Content-Type": content_type}, body=body), cost["POST"])


@pytest.mark.django_db
def test_no_header_of_a_page_costs_more_than_its_size_allows(caller: Caller) -> None:
    smallest = Call("GET", "/admin/login/")
    cost = caller.seconds(smallest)
    for name, values in HEADERS.items():
        for value in values:
            caller.check(smallest._replace(headers={name: value}), cost)


@pytest.mark.parametrize("path", PAGES)
def test_an_operators_request_costs_no_more_than_its_size_allows(
    caller: Caller, operator: dict[str, str], path: str
) -> None:
    get = Call("GET", path, operator)
    post = Call("POST", path, {**operator, "Content-Type": FORM}, b"a=1")
    cost = {"GET": caller.seconds(get), "POST": caller.seconds(post)}
    for query in (
        *(f"{name}=" + "a%20" * 2000 for name in ("q", "s", "term")),
        "&".join(f"f{n}=1" for n in range(900)),
        "p=" + "9" * 5000,
    ):
        caller.check(get._replace(query=query), cost["GET"])
    caller.check(post._replace(body=FORMS[2]), cost["POST"])
    caller.check(post._replace(body=FILE, headers={**post.headers, "Content-Type": MULTIPART}), cost["POST"])


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/apikeys/apikey/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("value", COOKIES)
@pytest.mark.parametrize("name", ["authsvc_session", "csrftoken", "messages"])
def test_a_malformed_cookie_is_no_cookie(caller: Caller, name: str, value: str, method: str, path: str) -> None:
    without = caller.send(Call(method, path))
    answer = caller.send(Call(method, path, {"Cookie": f"{name}={value}"}))
    assert answer.status == without.status
    assert answer.status in {200, 302, 403}


LISTS = [
    *("accounts/user", "accounts/session", "accounts/lockout", "accounts/signingkey", "accounts/role"),
    *("accounts/scope", "apikeys/apikey", "audit/auditevent"),
]
REFUSAL = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "The request is not valid."}
# What reads a column that no page shows, runs a pattern of the client's, or is more than a database takes.
REFUSED = [
    "username__regex=^((a)%2B)%2B!$", "username__regex=[", "username__range=a", "id=1&security_stamp__startswith=7",
    "binding__startswith=a", "key=1", "private_key=1", "private_key__startswith=a", "once__startswith=a",
    "id__range=1", "event__range=a", "id__contained_by=1", "created_at__contained_by=1", "metadata__contains=1",
    "metadata__has_keys=", "password__startswith=a", "id=1&" * 1600, "id=1&" * 51, "q=a&" * 51,
]  # fmt: skip


def assert_refused(caller: Caller, call: Call, cost: float) -> None:
    """Assert that a request is a 400 that repeats nothing, at a price that its size allows."""
    caller.check(call, cost)
    answer = caller.send(call)
    sent = (call.query[:50], call.body[:50])
    assert (sent, answer.status, json.loads(answer.body)) == (sent, 400, REFUSAL)


@pytest.mark.parametrize("model", LISTS)
def test_a_list_is_filtered_by_nothing_that_it_shows_no_filter_for(
    caller: Caller, operator: dict[str, str], model: str
) -> None:
    get = Call("GET", f"/admin/{model}/", operator)
    cost = caller.seconds(get)
    for query in REFUSED:
        assert_refused(caller, get._replace(query=query), cost)


@pytest.mark.parametrize("model", LISTS)
def test_no_order_and_no_filter_of_a_list_costs_more_than_its_size_allows(
    caller: Caller, operator: dict[str, str], model: str
) -> None:
    get = Call("GET", f"/admin/{model}/", operator)
    cost = caller.seconds(get)
    for query in ("o=" + "1." * 4000, "o=" + "1" * 8000, "o=-" + "-.-1" * 2000, "id=1&" * 50, "id__in=" + "1," * 4000):
        caller.check(get._replace(query=query), cost)


def rows(user: User) -> dict[str, int]:
    """Return the pages of models that can be changed or looked at, and a row of each."""
    role = make_role("reader", "reports:read")
    scope, key = Scope.objects.get(name="reports:read"), APIKey.objects.get(owner=user)
    return {"accounts/user": user.pk, "accounts/role": role.pk, "accounts/scope": scope.pk, "apikeys/apikey": key.pk}


@pytest.mark.parametrize(
    ("field", "statuses"),
    [
        pytest.param("", {200, 403}, id="empty"),
        pytest.param("id", {200, 403}, id="the primary key"),
        *(pytest.param(field, {400}, id=field) for field in ("scopes", "user", "sessions", "api_keys", "logentry")),
        *(pytest.param(field, {400}, id=field) for field in ("secrets", "groups", "name", "nothing")),
    ],
)
def test_a_row_is_referred_to_by_its_primary_key_only(
    caller: Caller, operator: dict[str, str], alice: User, field: str, statuses: set[int]
) -> None:
    for model, pk in rows(alice).items():
        for page in (f"{pk}/change/", f"{pk}/delete/"):
            call = Call("GET", f"/admin/{model}/{page}", operator, query=f"_to_field={field}")
            assert (model, page, caller.send(call).status in statuses) == (model, page, True)


CHOICES = {
    "accounts/user": ("groups", "user_permissions"),
    "accounts/role": ("permissions",),
    "accounts/scope": ("roles",),
}
# What else the pages send, so that their forms are valid.
OTHERS = (
    "username=Alice&email=alice@example.com&is_active=on&name=reader&description=x"
    "&Scope_roles-TOTAL_FORMS=0&Scope_roles-INITIAL_FORMS=0"
)


@pytest.mark.parametrize("model", CHOICES)
@pytest.mark.parametrize("others", ["", OTHERS], ids=["alone", "with all that is asked for"])
@pytest.mark.parametrize("value", ["9" * 18, "9" * 19, "9" * 25, "9" * 5000, "-1", "a", "%00", "%D9%A3", ""])
def test_a_choice_that_is_no_id_is_never_a_failure(
    caller: Caller, operator: dict[str, str], alice: User, model: str, others: str, value: str
) -> None:
    path = f"/admin/{model}/{rows(alice)[model]}/change/"
    for name in CHOICES[model]:
        for field in (name, f"initial-{name}"):
            body = f"{others}&{field}={value}".encode()
            answer = caller.send(Call("POST", path, {**operator, "Content-Type": FORM}, body))
            assert (field, answer.status in {200, 302}) == (field, True)


@pytest.mark.parametrize("model", CHOICES)
def test_more_choices_than_there_are_rows_are_refused_at_once(
    caller: Caller, operator: dict[str, str], alice: User, model: str
) -> None:
    post = Call("POST", f"/admin/{model}/{rows(alice)[model]}/change/", {**operator, "Content-Type": FORM}, b"a=1")
    cost = caller.seconds(post)
    for name in CHOICES[model]:
        for field in (name, f"initial-{name}"):
            for body in ("&".join(f"{field}={pk}" for pk in range(5000)), f"{field}=1&" * 3500):
                assert_refused(caller, post._replace(body=body.encode()), cost)
            some = "&".join(f"{field}={pk}" for pk in range(10))
            caller.check(post._replace(body=some.encode()), cost)


@pytest.mark.parametrize("total", ["2000", "9" * 19, "9" * 5000, "-1", "12", ""])
@pytest.mark.parametrize("initial", ["0", "2000", "-1", "9" * 19])
def test_a_role_has_no_more_rows_than_there_are_scopes(
    caller: Caller, operator: dict[str, str], total: str, initial: str
) -> None:
    post = Call("POST", "/admin/accounts/role/add/", {**operator, "Content-Type": FORM}, b"a=1")
    cost = caller.seconds(post)
    body = f"name=&Scope_roles-TOTAL_FORMS={total}&Scope_roles-INITIAL_FORMS={initial}".encode()
    caller.check(post._replace(body=body), cost)
    answer = caller.send(post._replace(body=body))
    assert (answer.status, len(answer.body) < 200_000, Role.objects.filter(name="").count()) == (200, True, 0)


@pytest.mark.parametrize("text", ["%00", "_00", "\0", "\x7f", "_ED_A0_80", "9" * 30, "9" * 5000, "-1", "a_", "_"])
@pytest.mark.parametrize("page", ["{}/change/", "{}/history/", "{}/delete/", "{}/", "{}/revoke/"])
def test_an_odd_address_is_a_page_that_is_not_there(
    caller: Caller, operator: dict[str, str], page: str, text: str
) -> None:
    for model in ("apikeys/apikey", "accounts/user", "accounts/session", "audit/auditevent", "accounts/role"):
        path = f"/admin/{model}/{page.format(text)}"
        assert caller.send(Call("GET", path, operator)).status in {301, 302, 400, 403, 404}


@pytest.mark.parametrize(
    "field", ["action", "_selected_action", "select_across", "index", "_popup", "_to_field", "next"]
)
@pytest.mark.parametrize("value", [b"%00", b"%ED%A0%80", b"%FF", b"a" * 100_000])
def test_an_odd_field_of_a_list_is_never_a_failure(
    caller: Caller, operator: dict[str, str], field: str, value: bytes
) -> None:
    headers = {**operator, "Content-Type": FORM}
    body = b"action=revoke_selected&_selected_action=1&" + field.encode() + b"=" + value
    for path in ("/admin/apikeys/apikey/", "/admin/accounts/user/", "/admin/login/", "/admin/accounts/session/"):
        assert caller.send(Call("POST", path, headers, body)).status < 500


def test_a_file_of_any_size_is_not_written_to_disk(
    caller: Caller, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.NamedTemporaryFile", None)  # who calls it is answered with a 500
    monkeypatch.setattr("django.core.files.uploadedfile.tempfile.NamedTemporaryFile", None)
    headers = {**operator, "Content-Type": MULTIPART}
    assert caller.send(Call("POST", "/admin/accounts/user/add/", headers, FILE)).status == 200
    too_large = FILE.replace(b"\r\n--x--", b"a" * 200_000 + b"\r\n--x--")
    assert caller.send(Call("POST", "/admin/accounts/user/add/", headers, too_large)).status == 413
    headers.pop("Cookie")
    assert caller.send(Call("POST", "/admin/login/", headers, FILE)).status == 413


@pytest.mark.parametrize(
    ("fields", "status"), [pytest.param(b"a=1&" * 99, 200, id="100"), pytest.param(b"a=1&" * 101, 400, id="too many")]
)
def test_a_login_has_a_hundred_fields_at_most(
    caller: Caller, operator: dict[str, str], fields: bytes, status: int
) -> None:
    headers = {"Content-Type": FORM, "Cookie": "csrftoken=" + "a" * 32, "X-CSRFToken": "a" * 32}
    assert caller.send(Call("POST", "/admin/login/", headers, fields)).status == status
    parts = PART * (100 if status == 200 else 102) + b"--x--\r\n"
    assert caller.send(Call("POST", "/admin/login/", {**headers, "Content-Type": MULTIPART}, parts)).status == status
