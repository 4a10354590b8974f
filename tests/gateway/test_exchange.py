"""A key for a token: no more than the key may do, for five minutes, and no longer than the key lives."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Scope, User
from apikeys import usage
from apikeys.models import APIKey, Secret, Usage
from tests.accounts.conftest import claims_of, sign
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api, errors_of
from tests.factories import make_key, make_role, token_of

ROUTE = "/auth/token"
FORM = "application/x-www-form-urlencoded"
CHALLENGE = 'ApiKey realm="authsvc", Basic realm="authsvc"'
INVALID_CLIENT = {"error": "invalid_client", "error_description": "The credential is not valid."}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture
def analyst(alice: User) -> User:
    alice.groups.add(make_role("analyst", "reports:read", "files:read"))
    return alice


@pytest.fixture
def key(analyst: User) -> tuple[APIKey, str]:
    return make_key(analyst, scopes=["reports:read", "files:read"])


def exchanged(api: Api, plaintext: str, **asked: Any) -> str:
    response = api.post(ROUTE, asked, key=plaintext)
    assert response.status_code == 200, response.content
    return str(response.json()["access_token"])


def basic(name: Any, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


def opens(api: Api, token: str, path: str = "/protected/any") -> bool:
    response = api.get(path, token=token)
    assert response.status_code in {200, 401, 403}
    return bool(response.status_code == 200)


def test_a_key_is_exchanged_for_a_token_of_five_minutes(api: Api, analyst: User, key: tuple[APIKey, str]) -> None:
    response = api.post(ROUTE, key=key[1])
    body = response.json()
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    assert body == {
        "access_token": body["access_token"],
        "token_type": "bearer",
        "expires_in": 300,
        "scope": "files:read reports:read",
    }
    claims = claims_of(body["access_token"])
    assert claims == {
        **{name: claims[name] for name in ("iat", "jti")},
        "secret_id": str(key[0].secrets.get().pk),
        "bind": key[0].secrets.get().binding,
        "exp": claims["iat"] + 300,
        "token_type": "access",
        "iss": "authsvc",
        "sub": str(analyst.pk),
        "client_id": str(key[0].pk),
        "roles": [],
        "scope": "files:read reports:read",
    }


def test_a_token_of_a_key_opens_what_the_key_opens_in_one_query(
    api: Api, key: tuple[APIKey, str], django_assert_num_queries: Any
) -> None:
    token = exchanged(api, key[1])
    assert opens(api, token)
    with django_assert_num_queries(1):
        assert opens(api, token, "/protected/reports")
    assert api.get("/auth/me", token=token).json()["scopes"] == ["files:read", "reports:read"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(
            ("GET", "/keys"),
            ("POST", "/keys"),
            ("POST", "/keys/create"),
            ("DELETE", "/keys/1"),
            ("POST", "/keys/1/rotate"),
        ),
        *(("GET", "/auth/sessions"), ("DELETE", "/auth/sessions"), ("POST", "/auth/password")),
    ],
)
def test_a_program_manages_neither_the_account_nor_its_keys(
    api: Api, key: tuple[APIKey, str], method: str, path: str
) -> None:
    assert api.call(method, path, {"name": "x"}, token=exchanged(api, key[1])).status_code == 403
    assert APIKey.objects.count() == 1


def test_the_scopes_are_narrowed_as_asked_and_by_whatever_is_taken_away_later(
    api: Api, analyst: User, key: tuple[APIKey, str]
) -> None:
    narrow, none, whole = (exchanged(api, key[1], **asked) for asked in ({"scope": "reports:read"}, {"scope": ""}, {}))

    def scopes(token: str) -> list[str]:
        return list(api.get("/auth/me", token=token).json()["scopes"])

    assert [scopes(token) for token in (narrow, none, whole)] == [["reports:read"], [], ["files:read", "reports:read"]]
    APIKey.objects.update(scope="files:read")
    assert [scopes(token) for token in (narrow, whole)] == [[], ["files:read"]]
    Scope.objects.get(name="files:read").roles.clear()
    assert scopes(whole) == []


@pytest.mark.parametrize("scope", ["tokens:introspect", "reports:read none:such", "*", "reports:*"])
def test_a_scope_that_the_key_lacks_is_refused(api: Api, key: tuple[APIKey, str], scope: str) -> None:
    assert errors_of(api.post(ROUTE, {"scope": scope}, key=key[1])) == [("scope", "invalid_scope")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        *(({"scope": 7}, "scope"), ({"scope": ["a:b"]}, "scope"), ({"scopes": "a:b"}, "scopes")),
        *(({"audience": "a b"}, "audience"), ({"audience": ""}, "audience"), ({"audience": "x" * 201}, "audience")),
        ({"expires_in": 9}, "expires_in"),
    ],
)
def test_a_body_that_is_none_is_named(api: Api, key: tuple[APIKey, str], body: dict[str, Any], field: str) -> None:
    assert [name for name, _ in errors_of(api.post(ROUTE, body, key=key[1]))] == [field]


ENDS = {
    "revoked": {"revoked_at": timezone.now()},
    "expired": {"expires_at": timezone.now() - timedelta(days=1)},
    "disabled": {"is_enabled": False},
    "elsewhere": {"allowed_ips": "192.0.2.1"},
    "deleted": {},
    "owner disabled": {},
}


@pytest.mark.parametrize("end", ENDS)
def test_a_token_dies_with_its_key(api: Api, analyst: User, key: tuple[APIKey, str], end: str) -> None:
    token = exchanged(api, key[1])
    assert opens(api, token)
    if ENDS[end]:
        APIKey.objects.update(**ENDS[end])
    elif end == "deleted":
        APIKey.objects.all().delete()
    else:
        User.objects.update(is_active=False)
    response = api.get("/protected/any", token=token)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'Bearer realm="authsvc", error="invalid_token", ApiKey realm="authsvc"'


def test_a_token_ends_with_its_key_or_the_secret_that_was_used(api: Api, alice: User) -> None:
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False) as clock:
        key, old = make_key(alice, expires_at=timezone.now() + timedelta(seconds=100))
        assert api.post(ROUTE, key=old).json()["expires_in"] == 100
        APIKey.objects.update(expires_at=timezone.now() + timedelta(days=1))
        new = api.post(f"/keys/{key.pk}/rotate", {"overlap_seconds": 60}, token=token_of(alice)).json()["key"]
        assert [api.post(ROUTE, key=text).json()["expires_in"] for text in (old, new)] == [60, 300]
        token = exchanged(api, new)
        clock.shift(300)
        assert not opens(api, token)


def test_a_token_ends_with_the_secret_that_was_used_and_not_with_the_next(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    tokens = [exchanged(api, old)]
    new = api.post(f"/keys/{key.pk}/rotate", {"overlap_seconds": 60}, token=token_of(alice)).json()["key"]
    tokens.append(exchanged(api, new))
    assert [opens(api, token) for token in tokens] == [True, True]
    api.post(f"/keys/{key.pk}/rotate", {"overlap_seconds": 60}, token=token_of(alice))
    assert [opens(api, token) for token in tokens] == [False, True]
    usage.flush()
    assert Usage.objects.get(outcome="revoked").count == 1


def test_a_token_opens_nothing_of_the_next_who_has_the_ids_of_its_key(
    api: Api, alice: User, bob: User, key: tuple[APIKey, str]
) -> None:
    token = exchanged(api, key[1])
    secret = key[0].secrets.get()
    assert opens(api, token)
    # As after a restore: the same ids of user, key and secret, and another plaintext.
    Secret.objects.filter(pk=secret.pk).update(digest=bytes(32))
    for path in ("/protected/any", "/auth/verify"):
        response = api.get(path, token=token)
        assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    bob.groups.add(make_role("introspector", "tokens:introspect"))
    assert api.post("/auth/introspect", {"token": token}, token=token_of(bob)).json() == {"active": False}


@pytest.mark.parametrize("claim", ["bind", "secret_id"])
@pytest.mark.parametrize("value", ["0", "", None, 7, ["x"]], ids=str)
def test_a_token_without_the_binding_to_its_secret_opens_nothing(
    api: Api, key: tuple[APIKey, str], claim: str, value: Any
) -> None:
    claims = claims_of(exchanged(api, key[1]))
    assert not opens(api, sign({**claims, claim: value}))
    assert not opens(api, sign({name: claims[name] for name in claims if name != claim}))


def test_a_token_of_one_key_names_no_secret_of_another(api: Api, alice: User, key: tuple[APIKey, str]) -> None:
    claims = claims_of(exchanged(api, key[1]))
    other = make_key(alice)[0].secrets.get()
    assert not opens(api, sign({**claims, "secret_id": str(other.pk), "bind": other.binding}))


def test_a_token_counts_towards_the_limit_of_its_key(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice, rate_limit="3/hour")
    token = exchanged(api, plaintext)
    answers = [api.get("/protected/any", token=token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer["RateLimit"] for answer in answers] == [f'"hour";r={left};t=3600' for left in (1, 0, 0)]
    usage.flush()
    assert dict(Usage.objects.values_list("outcome", "count")) == {"ok": 3, "limited": 1}


@pytest.mark.parametrize("client_id", ["0", "999999", str(2**80), "x", "", None, 7], ids=str)
def test_a_token_of_no_key_opens_nothing(api: Api, key: tuple[APIKey, str], client_id: Any) -> None:
    claims = claims_of(exchanged(api, key[1]))
    assert opens(api, sign(claims))
    assert not opens(api, sign({**claims, "client_id": client_id}))
    assert not opens(api, sign({name: value for name, value in claims.items() if name != "client_id"}))


def test_a_token_of_a_key_is_bound_to_its_owner(api: Api, key: tuple[APIKey, str], bob: User) -> None:
    claims = claims_of(exchanged(api, key[1]))
    assert not opens(api, sign({**claims, "sub": str(bob.pk)}))
    assert not opens(api, sign({**claims, "scope": None, "aud": {"a": 1}}))


def test_a_claimed_scope_that_is_no_text_grants_nothing(api: Api, key: tuple[APIKey, str]) -> None:
    claims = claims_of(exchanged(api, key[1]))
    assert api.get("/auth/me", token=sign({**claims, "scope": ["reports:read"]})).json()["scopes"] == []
    assert api.get("/auth/me", token=sign({**claims, "scope": "admin:all"})).json()["scopes"] == []


@pytest.mark.parametrize("place", ["form", "basic", "exchange"])
def test_oauths_forms_are_taken(api: Api, key: tuple[APIKey, str], place: str) -> None:
    row, plaintext = key
    form = {
        "form": f"grant_type=client_credentials&client_id={row.pk}&client_secret={plaintext}&scope=reports:read&x=1",
        "basic": "grant_type=client_credentials&scope=reports%3Aread",
        "exchange": f"grant_type={EXCHANGE}&subject_token={plaintext}&subject_token_type={TYPE}&scope=reports:read",
    }[place]
    headers = basic(row.pk, plaintext) if place == "basic" else {}
    response = api.post(ROUTE, form, content_type=FORM, headers=headers)
    assert (response.status_code, response.json()["scope"]) == (200, "reports:read")
    assert ("issued_token_type" in response.json()) == (place == "exchange")
    assert opens(api, response.json()["access_token"], "/protected/reports")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        pytest.param("grant_type=password&client_id={id}&client_secret={key}", 400, id="another grant"),
        pytest.param("client_id={id}&client_secret={key}", 400, id="no grant"),
        pytest.param("grant_type=client_credentials&client_id=0&client_secret={key}", 401, id="another id"),
        pytest.param("grant_type=client_credentials&client_secret={key}", 401, id="no id"),
        pytest.param("grant_type=client_credentials&client_id={id}&client_secret=x", 401, id="no key"),
        pytest.param("grant_type=client_credentials&client_id={id}", 401, id="no secret"),
        pytest.param("grant_type=client_credentials&client_secret={key}&client_secret={key}", 400, id="twice"),
        pytest.param("grant_type=%ff&client_secret={key}", 400, id="not UTF-8"),
        pytest.param("&".join(f"a{n}=b" for n in range(101)), 400, id="too many"),
    ],
)
def test_a_form_that_is_none_is_refused(api: Api, key: tuple[APIKey, str], form: str, status: int) -> None:
    response = api.post(ROUTE, form.format(id=key[0].pk, key=key[1]), content_type=FORM)
    assert response.status_code == status
    body = response.json()
    assert body["error"] == ("invalid_client" if status == 401 else body["error"])
    assert status != 401 or {**body, "error": ..., "error_description": ...} in (
        {**problem, "error": ..., "error_description": ...} for problem in (BAD_CREDENTIAL, NO_CREDENTIAL)
    )
    assert status != 401 or response["WWW-Authenticate"] == CHALLENGE


def test_a_form_over_the_limit_is_413(api: Api, key: tuple[APIKey, str], settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    response = api.post(ROUTE, f"grant_type=client_credentials&x={'y' * 100}", content_type=FORM, key=key[1])
    assert response.status_code == 413


@pytest.mark.parametrize("header", ["Basic", "Basic ", "Basic !", "Basic eA==", "Basic /w==", "basic eDp5"])
@pytest.mark.usefixtures("db")
def test_a_basic_header_that_is_none_is_a_bad_credential(api: Api, header: str) -> None:
    response = api.post(ROUTE, "grant_type=client_credentials", content_type=FORM, headers={"Authorization": header})
    assert (response.status_code, response.json()) == (401, {**BAD_CREDENTIAL, **INVALID_CLIENT})
    assert response["WWW-Authenticate"] == CHALLENGE


def test_a_token_is_not_exchanged_for_another(api: Api, alice: User, key: tuple[APIKey, str]) -> None:
    for token in (token_of(alice), exchanged(api, key[1])):
        response = api.post(ROUTE, {}, token=token)
        assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)


def test_without_a_signing_key_there_is_no_token(api: Api, key: tuple[APIKey, str], settings: Any) -> None:
    settings.JWT_ALGORITHM = "ES256"
    response = api.post(ROUTE, {}, key=key[1])
    assert (response.status_code, response.json()["status"]) == (503, 503)


def test_where_this_service_is_an_audience_a_token_is_for_it_unless_asked_otherwise(
    api: Api, key: tuple[APIKey, str], settings: Any
) -> None:
    settings.JWT_AUDIENCE = "api"
    own, others = exchanged(api, key[1]), exchanged(api, key[1], audience="billing")
    assert [claims_of(token)["aud"] for token in (own, others)] == ["api", "billing"]
    assert [opens(api, token) for token in (own, others)] == [True, False]
    verified = [api.get("/auth/verify?audience=billing", token=token).status_code for token in (own, others)]
    assert verified == [401, 200]


def test_another_keys_id_is_no_use_of_a_key(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    asked = {"retire_old": "on_first_use"}
    new = api.post(f"/keys/{key.pk}/rotate", asked, token=token_of(alice)).json()["key"]
    form = f"grant_type=client_credentials&client_id=999&client_secret={new}"
    assert api.post(ROUTE, form, content_type=FORM).status_code == 401
    usage.flush()
    assert (APIKey.objects.get().last_used_at, Usage.objects.count()) == (None, 0)
    assert api.get("/auth/verify", key=old).status_code == 200


def test_an_empty_parameter_of_a_form_is_none(api: Api, key: tuple[APIKey, str]) -> None:
    form = f"grant_type=client_credentials&client_id={key[0].pk}&client_secret={key[1]}&scope=&audience="
    body = api.post(ROUTE, form, content_type=FORM).json()
    assert (body["scope"], "aud" in claims_of(body["access_token"])) == ("files:read reports:read", False)
