"""Our way with the segments of a token gives what PyJWT's gives, or refuses."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt import DecodeError
from jwt.api_jws import PyJWS

from accounts.jwt.decoder import Signatures

decode, theirs = Signatures._decode_base64url_segment, PyJWS._decode_base64url_segment


@given(st.binary(max_size=60))
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    segment = base64.urlsafe_b64encode(data).rstrip(b"=")
    assert decode(segment, "payload") == theirs(segment, "payload") == data


def result(of: Any, segment: bytes) -> bytes | None:
    """Return what a segment is decoded to, or None where it is refused."""
    with suppress(DecodeError):
        return bytes(of(segment, "payload"))
    return None


@given(st.one_of(st.binary(max_size=12), st.text("ABab01-_=+/ \n", max_size=12).map(str.encode)))
def test_nothing_is_decoded_that_pyjwt_refuses_or_decodes_otherwise(segment: bytes) -> None:
    assert result(decode, segment) in {None, result(theirs, segment)}


@pytest.mark.parametrize("segment", [b"QQ==", b"QQ=", b"QR", b"Q", b"QQ Q", b"Q+==", b"Q/", b"Q\n", b"\xff", b"QUFB!"])
def test_there_is_one_way_to_write_a_segment(segment: bytes) -> None:
    with pytest.raises(DecodeError, match="Invalid payload padding"):
        decode(segment, "payload")
