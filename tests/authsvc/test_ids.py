"""The ids of rows, read from text."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.ids import MAX_ID, parse_id


@pytest.mark.parametrize(
    ("text", "found"), [("0", 0), ("7", 7), ("007", 7), (str(MAX_ID), MAX_ID), ("0" * 18 + "1", 1)], ids=repr
)
def test_ascii_digits_are_an_id(text: str, found: int) -> None:
    assert parse_id(text) == found


@pytest.mark.parametrize(
    "text", ["", " 1", "-1", "+1", "1.0", "1_0", "five", "٣", "²", str(MAX_ID + 1), "1" * 20, None, 7, ["7"]], ids=repr
)
def test_what_no_row_can_have_as_its_id_is_none(text: Any) -> None:
    assert parse_id(text) is None
