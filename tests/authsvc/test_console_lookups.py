"""What an address of a list filters by: what the list shows a filter for, its dates, and the primary key."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, Scope, User
from tests.apikeys.forms import form_with
from tests.audit.conftest import add
from tests.factories import UserFactory, make_key, make_role

pytestmark = pytest.mark.django_db
USERS, KEYS, AUDIT = "/admin/accounts/user/", "/admin/apikeys/apikey/", "/admin/audit/auditevent/"
ROLES = "/admin/accounts/role/"
REFUSAL = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "The request is not valid."}


@pytest.fixture
def console(db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    return client


def listed(console: Client, address: str) -> list[str]:
    return sorted(str(row) for row in console.get(address).context["cl"].result_list)


@pytest.mark.parametrize(
    "query",
    [
        "id={alice.pk}", "id__exact={alice.pk}", "pk={alice.pk}", "pk__in={alice.pk},0",
        "id__gte={alice.pk}&id__lt={bob.pk}",
        "groups__id__exact={role.pk}", "groups={role.pk}", "groups__isnull=False", "is_active__exact=0",
        "is_active__exact=0&groups__id__exact={role.pk}",
    ],
)  # fmt: skip
def test_users_are_filtered_by_what_the_list_offers_and_by_their_ids(console: Client, query: str) -> None:
    role = make_role("reader")
    alice = UserFactory(username="alice", is_active=False)
    alice.groups.add(role)
    bob = UserFactory(username="bob")
    assert listed(console, f"{USERS}?{query.format(alice=alice, bob=bob, role=role)}") == ["alice"]


def test_every_link_of_a_list_leads_to_a_list(console: Client, alice: User) -> None:
    alice.groups.add(make_role("reader"), make_role("writer"))
    make_key(alice)
    add("one")
    for page in (USERS, KEYS, AUDIT):
        text = console.get(page).content.decode().replace("&amp;", "&")
        links = {part.split('"')[0] for part in text.split('href="?')[1:]}
        assert len(links) > 5
        assert {link: console.get(f"{page}?{link}").status_code for link in links} == dict.fromkeys(links, 200)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("user/?" + "id=1&" * 51, id="too many parameters"),
        pytest.param("user/?security_stamp__startswith=7", id="a column that no page shows"),
        pytest.param("user/?is_active__regex=1", id="another comparison"),
        pytest.param("session/?user__username=alice", id="through a relation"),
        pytest.param("role/1/change/?_to_field=scopes", id="a relation of another's"),
    ],
)
def test_what_no_page_links_to_is_refused(console: Client, address: str) -> None:
    response = console.get(f"/admin/accounts/{address}")
    assert (response.status_code, response.json()) == (400, REFUSAL)


@pytest.mark.parametrize("query", ["at__lt=9999-12-31T23:59:59-23:59", "at__gte=0001-01-01T00:00:00%2B23:59"])
def test_a_date_beyond_a_databases_calendar_leads_back_to_the_list(console: Client, query: str) -> None:
    response = console.get(f"{AUDIT}?{query}", follow=True)
    back = [] if connection.vendor == "postgresql" else [(f"{AUDIT}?e=1", 302)]
    assert (response.status_code, response.redirect_chain) == (200, back)


@pytest.mark.parametrize("field", ["groups", "initial-groups"])
def test_many_more_choices_than_there_are_rows_are_refused(console: Client, alice: User, field: str) -> None:
    path, most = f"{USERS}{alice.pk}/change/", Group.objects.count() + 10
    statuses = [console.post(path, {field: [1] * count}).status_code for count in (most, most + 1)]
    refused = console.post(path, {field: [1] * (most + 1)})
    assert (statuses, refused.json()) == ([200, 400], REFUSAL)


def test_a_list_without_filters_knows_ids_only(console: Client) -> None:
    scope = Scope.objects.get(name="reports:read")
    assert listed(console, f"/admin/accounts/scope/?id__exact={scope.pk}") == ["reports:read"]
    assert console.get("/admin/accounts/scope/?name__exact=reports:read").status_code == 400


def test_an_order_by_columns_stays_in_the_links_of_the_page(console: Client) -> None:
    for name in ("a", "b"):
        UserFactory(username=name)
    response = console.get(f"{USERS}?o=-1.2{'.1' * 100}")
    assert [user.username for user in response.context["cl"].result_list] == ["root", "b", "a"]
    assert response.context["cl"].params == {"o": "-1.2.1.1.1.1.1"}


def test_a_choice_that_is_no_id_is_said_to_be_none(console: Client, alice: User) -> None:
    path = f"{USERS}{alice.pk}/change/"
    sent: dict[str, Any] = {**form_with(console.get(path), "username"), "groups": ["9" * 5000]}
    response = console.post(path, sent)
    errors = {"groups": [f"“{'9' * 100}” is not a valid value."]}
    assert (response.status_code, response.context["adminform"].form.errors) == (200, errors)
    assert alice.groups.count() == 0


def test_a_claim_of_rows_beyond_the_scopes_is_an_error_of_the_form(console: Client) -> None:
    response = console.post(
        f"{ROLES}add/", {"name": "new", "Scope_roles-TOTAL_FORMS": 2000, "Scope_roles-INITIAL_FORMS": 0}
    )
    (rows,) = response.context["inline_admin_formsets"]
    most = Scope.objects.count()
    assert (response.status_code, rows.formset.non_form_errors()) == (200, [f"Please submit at most {most} forms."])
    assert not Role.objects.filter(name="new").exists()


def test_a_role_of_many_scopes_costs_as_many_queries_as_one_of_few(console: Client) -> None:
    def cost(role: Any) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert console.get(f"{ROLES}{role.pk}/change/").status_code == 200
        return len(queries)

    few = make_role("few", "reports:read")
    before = cost(few)
    many = make_role("many", *(f"made:n{number}" for number in range(20)))
    assert cost(many) <= before
