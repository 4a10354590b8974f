"""Names: one person, one name, however it is typed."""

import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.names import fold
from tests.accounts.conftest import SIGNUP
from tests.conftest import Api, errors_of

USERNAME = re.compile(r"[\w.+-]+")
LETTERS = [letter for letter in map(chr, range(0x80, sys.maxunicode)) if unicodedata.category(letter)[0] == "L"]
LOGIN = {"password": SIGNUP["password"]}
SAME = [
    pytest.param("carol", "CAROL", id="case"),
    pytest.param("carol", "cArOl", id="mixed case"),
    pytest.param("carol", "\uff43\uff41\uff52\uff4f\uff4c", id="full-width"),
    pytest.param("carol", "\U0001d41c\U0001d41a\U0001d42b\U0001d428\U0001d425", id="mathematical bold"),
    pytest.param("carol", "\u24d2arol", id="circled"),
    pytest.param("office", "o\ufb03ce", id="ligature"),
    pytest.param("kelvin", "\u212aelvin", id="Kelvin sign"),
    pytest.param("sister", "\u017fi\u017fter", id="long s"),
    pytest.param("strasse", "stra\xdfe", id="sharp s"),
    pytest.param("STRASSE", "stra\u1e9ee", id="capital sharp s"),
    pytest.param("\xe9mile", "e\u0301mile", id="composed and decomposed"),
    pytest.param("\xc9MILE", "\xe9mile", id="case of an accent"),
    pytest.param(
        "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3", id="final sigma"
    ),
    pytest.param("\u0438\u0432\u0430\u043d", "\u0418\u0412\u0410\u041d", id="Cyrillic"),
    pytest.param("\uab70", "\u13a0", id="Cherokee"),
    pytest.param("\u1fb3", "\u1fbc", id="iota subscript"),
    pytest.param("\u1fb7x", "\u1fbc\u0342x", id="iota subscript under a circumflex"),
    pytest.param("x2", "x\xb2", id="superscript"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "second"), SAME)
def test_a_name_is_taken_however_it_is_typed(api: Api, first: str, second: str) -> None:
    assert api.post("/auth/signup", {**SIGNUP, "username": first}).status_code == 201
    again = api.post("/auth/signup", {**SIGNUP, "username": second, "email": "other@example.com"})
    assert errors_of(again) == [("username", "unique")]


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "second"), SAME)
def test_a_user_is_known_by_the_name_however_it_is_typed(api: Api, first: str, second: str) -> None:
    api.post("/auth/signup", {**SIGNUP, "username": first})
    answers = [api.post("/auth/login", {**LOGIN, "username": name}) for name in (first, second)]
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("Carol@Example.com", "cAROL@eXAMPLE.COM", id="case"),
        pytest.param("carol@\xe9mile.example", "carol@E\u0301MILE.example", id="accent in the domain"),
    ],
)
def test_an_address_is_taken_however_it_is_typed(api: Api, first: str, second: str) -> None:
    assert api.post("/auth/signup", {**SIGNUP, "email": first}).status_code == 201
    again = api.post("/auth/signup", {**SIGNUP, "username": "other", "email": second})
    assert errors_of(again) == [("email", "unique")]
    assert api.post("/auth/login", {**LOGIN, "username": second}).status_code == 200


@pytest.mark.django_db
def test_a_name_keeps_the_case_of_its_ascii_letters_and_an_address_does_not(api: Api) -> None:
    body = api.post("/auth/signup", {**SIGNUP, "username": " McCarol ", "email": "Carol@Example.com"}).json()
    assert (body["username"], body["email"]) == ("McCarol", "carol@example.com")
    assert api.post("/auth/login", {**LOGIN, "username": " mccarol "}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("other", ["car0l", "carol.", "carol_", "ca.rol", "\u0441arol", "car\u0131l"])
def test_names_that_only_look_alike_are_different_names(api: Api, other: str) -> None:
    assert api.post("/auth/signup", SIGNUP).status_code == 201
    assert api.post("/auth/signup", {**SIGNUP, "username": other, "email": "o@example.com"}).status_code == 201
    assert User.objects.count() == 2


def test_no_letter_folds_to_another_name_in_upper_or_title_case() -> None:
    # The dotless i is a letter of its own, whose capital it shares with the dotted one (Unicode, default case folding).
    variants = [(x, y) for x in LETTERS if x != "\u0131" for y in {x.upper(), x.lower(), x.title(), x.casefold()}]
    apart = [(x, y) for x, y in variants if fold(x).lower() != fold(y).lower()]
    assert len(variants) > 100_000
    assert [(x, y) for x, y in apart if USERNAME.fullmatch(fold(x)) and USERNAME.fullmatch(fold(y))] == []


@given(st.text())
@settings(derandomize=True, max_examples=500, deadline=None)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert unicodedata.is_normalized("NFKC", fold(text))


def test_folding_any_single_character_twice_changes_nothing_more() -> None:
    assert [letter for letter in LETTERS if fold(fold(letter)) != fold(letter)] == []
    assert len(LETTERS) > 100_000
