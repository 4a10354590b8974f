"""PyJWT's decoder, without a look at each character in Python that the comparison after it makes needless."""

from __future__ import annotations

import base64
import binascii

from jwt import DecodeError, PyJWT
from jwt.api_jws import PyJWS


class Signatures(PyJWS):
    """JWS (RFC 7515). PyJWT's way with a segment costs 8 % of a request with a token (docs/performance.md)."""

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        """Return the bytes of a segment. Raises DecodeError for all but the one way to write them without padding."""
        try:
            decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
        except binascii.Error as error:
            raise DecodeError(f"Invalid {name} padding") from error
        if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
            raise DecodeError(f"Invalid {name} padding")
        return decoded


decoder = PyJWT()
decoder._jws = Signatures(options=decoder._get_sig_options())
