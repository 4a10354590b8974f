"""Loaded by schemathesis: accept a rejection of valid data only for what a schema cannot say."""

from __future__ import annotations

from typing import Any

import schemathesis

# Errors that depend on what is stored, on settings, or on rules that JSON Schema has no words for.
UNSAYABLE = {
    *("unique", "unknown_scope", "not_granted", "invalid_scope", "invalid_password", "out_of_range", "unknown_key"),
    *("invalid_rate_limit", "invalid_network", "control_character", "null_character", "blank", "max_length"),
    *("password_too_common", "password_entirely_numeric", "password_too_similar", "password_too_short"),
    *("exclusive", "more_errors", "surrogate_characters_not_allowed", "null_characters_not_allowed"),
}
# Whose form is only described in words. 1.0 is an integer for JSON Schema, and not here.
FIELDS = {
    *("token", "cursor", "username", "email", "metadata", "grant_type", "expires_in_days", "overlap_seconds"),
    *("subject_token", "subject_token_type", "requested_token_type"),
}


@schemathesis.check
def valid_data_is_accepted(ctx: Any, response: Any, case: Any) -> None:
    """Raise AssertionError where data that the document allows is a 400 for another reason."""
    if response.status_code != 400 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    errors = response.json().get("errors", [])
    unexplained = [error for error in errors if error["code"] not in UNSAYABLE and error["field"] not in FIELDS]
    assert errors, f"valid data was rejected without a reason: {response.text[:500]}"
    assert not unexplained, f"valid data was rejected: {unexplained}"
