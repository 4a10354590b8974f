"""PyJWT's decoder, without a look at each character in Python that the comparison after it makes needless."""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64

from jwt import DecodeError, PyJWT
from jwt.api_jws import PyJWS

STANDARD = bytes.maketrans(b"-_+/", b"+/!!")  # from base64url's alphabet (RFC 4648, section 5) to what binascii reads


class Signatures(PyJWS):
    """JWS (RFC 7515). PyJWT's way with a segment costs 8 % of a request with a token (docs/performance.md)."""

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        """Return the bytes of a segment. Raises DecodeError for all but the one way to write them without padding."""
        standard = segment.translate(STANDARD)
        try:
            decoded = a2b_base64(standard + b"=" * (-len(segment) % 4))
        except Error as error:
            raise DecodeError(f"Invalid {name} padding") from error
        if b2a_base64(decoded, newline=False).rstrip(b"=") != standard:
            raise DecodeError(f"Invalid {name} padding")
        return decoded


decoder = PyJWT()
decoder._jws = Signatures(options=decoder._get_sig_options())
