"""Users, roles and scopes as the ORM and the commands of Django see them."""

import io
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction

from accounts.models import Role, Scope, User
from tests.factories import PASSWORD, UserFactory, make_role


@pytest.mark.django_db
def test_a_user_made_without_a_password_cannot_log_in() -> None:
    user = User.objects.create_user("\uff23arol", "Carol@example.com")
    assert (user.username, user.email) == ("Carol", "carol@example.com")
    assert not user.has_usable_password()
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(("username", "email"), [("\uff21LICE", "o@example.com"), ("other", "ALICE@example.com")])
def test_a_user_cannot_be_made_under_a_name_taken(username: str, email: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(username, email)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_the_first_operator_is_made_by_djangos_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    names = {"username": "root", "email": "root@example.com"}
    call_command("createsuperuser", interactive=False, stdout=io.StringIO(), **names)
    operator = User.objects.get()
    assert (operator.username, operator.is_staff, operator.is_superuser) == ("root", True, True)
    assert operator.check_password(PASSWORD)


@pytest.mark.parametrize("name", ["Alice", "ALICE", "alice@EXAMPLE.com", "\uff21lice"])
def test_a_user_is_found_by_what_people_type(alice: User, name: str) -> None:
    assert User.objects.get_by_natural_key(name) == alice
    assert list(User.objects.known_as(name)) == [alice]


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("name", [None, "", "%", "_lice", "Al%", "@", "alice@", "\x01"])
def test_nobody_is_found_by_anything_else(name: str | None) -> None:
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key(name)
    assert User.objects.known_as(name or "").first_with_grants() is None


def test_a_user_read_with_grants_has_them_sorted_and_each_once(alice: User, django_assert_num_queries: Any) -> None:
    alice.groups.add(make_role("b", "x:y", "a:b"), make_role("a", "a:b"))
    with django_assert_num_queries(1):
        user = User.objects.named("alice").first_with_grants()
    assert user is not None
    assert (user.roles, user.scopes) == (("a", "b"), frozenset({"a:b", "x:y"}))


def test_cleaning_a_user_folds_the_names_and_refuses_one_taken(alice: User) -> None:
    user = UserFactory.build(username="\uff41lice", email="carol@\xc9MILE.example")
    with pytest.raises(ValidationError) as refused:
        user.full_clean()
    assert (user.username, user.email) == ("alice", "carol@\xe9mile.example")
    assert refused.value.message_dict == {"__all__": ["This username is taken."]}
    assert str(alice) == "Alice"


def test_what_is_changed_beside_a_new_password_is_stored_with_it(alice: User) -> None:
    user = User.objects.get(pk=alice.pk)
    User.objects.update(email="meanwhile@example.com")
    user.is_staff = True
    user.set_password("another-horse-battery")
    user.username = "Alicia"
    user.save()
    stored = User.objects.get(pk=alice.pk)
    assert stored.check_password("another-horse-battery")
    assert (stored.is_staff, stored.username, stored.email) == (True, "Alicia", "meanwhile@example.com")


def test_what_was_read_again_or_stored_before_counts_as_unchanged(alice: User) -> None:
    user = User.objects.create_user("dora", "dora@example.com", PASSWORD)
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    User.objects.filter(pk=user.pk).update(email="again@example.com")
    user.refresh_from_db(fields=["email"])
    User.objects.filter(pk=user.pk).update(is_staff=False, email="meanwhile@example.com")
    user.set_password("another-horse-battery")
    user.save()
    stored = User.objects.get(pk=user.pk)
    assert (stored.is_staff, stored.email) == (False, "meanwhile@example.com")
    assert stored.check_password("another-horse-battery")


def test_columns_that_are_named_are_stored_and_no_others(alice: User) -> None:
    user = User.objects.get(pk=alice.pk)
    user.is_staff = user.is_superuser = True
    user.set_password("another-horse-battery")
    user.save(update_fields=["is_staff"])
    stored = User.objects.get(pk=alice.pk)
    assert (stored.is_staff, stored.is_superuser, stored.check_password(PASSWORD)) == (True, False, True)
    user.save(update_fields=["password", "is_superuser"])
    stored = User.objects.get(pk=alice.pk)
    assert (stored.is_superuser, stored.check_password("another-horse-battery")) == (True, True)


def test_columns_that_were_not_read_are_not_stored(alice: User) -> None:
    user = User.objects.only("username").get(pk=alice.pk)
    user.set_password("another-horse-battery")
    User.objects.update(email="meanwhile@example.com")
    user.is_staff = True
    user.save()
    stored = User.objects.get(pk=alice.pk)
    assert (stored.email, stored.is_staff, stored.check_password("another-horse-battery")) == (
        "meanwhile@example.com",
        True,
        True,
    )


@pytest.mark.parametrize("name", ["admin", "Team-7", "a.b_c:d"])
def test_a_role_has_a_name_that_can_stand_in_a_list(name: str) -> None:
    role = Role(name=name)
    role.clean()
    assert str(role) == name


@pytest.mark.parametrize("name", ["", "two words", "a,b", "-a", "a\n", "r\xf4le", "a\x00"])
def test_a_role_whose_name_would_read_as_several_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Role(name=name).clean()
    assert refused.value.messages == ["A role has letters, digits and the characters . _ : - only."]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["a:b", "reports-v2:read_all", "r.s:t"])
def test_a_scope_is_written_resource_and_action(name: str) -> None:
    scope = Scope(name=name, description="Something.")
    scope.full_clean()
    assert str(scope) == name


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "a", "a:", ":b", "A:b", "a:b:c", "a: b", "a:b c", "a:b,c", "a:b\n", "1:b", "a:*"])
def test_a_scope_written_otherwise_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Scope(name=name, description="Something.").full_clean()
    assert set(refused.value.message_dict) == {"name"}


@pytest.mark.usefixtures("committed")
def test_the_first_migrations_bring_the_role_and_the_scopes_and_spare_what_is_there() -> None:
    Scope.objects.filter(name="reports:read").update(description="The operator's own words.")
    Scope.objects.filter(name="tokens:introspect").delete()
    call_command("migrate", "accounts", "0001", verbosity=0)
    call_command("migrate", verbosity=0)
    found = dict(
        Scope.objects.filter(name__in=["reports:read", "tokens:introspect"]).values_list("name", "description")
    )
    assert Role.objects.filter(name="admin").count() == 1
    assert found == {
        "reports:read": "The operator's own words.",
        "tokens:introspect": "Ask this service what a token or a key is and may do.",
    }
    Scope.objects.filter(name="reports:read").update(description="Read reports, such as /protected/reports.")


@pytest.mark.django_db
def test_the_models_have_all_their_migrations() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    assert Role.objects.model._meta.proxy
