"""How much of a request has arrived. Pure: bytes in, a verdict out.

gunicorn's parser reads the request afterwards and decides what is valid. This module only tells when the parser has all
that it needs, so that no thread waits for a client. What the parser refuses is complete here.
"""

import re
from enum import Enum

HEAD_LIMIT = 64 * 1024  # bytes of a request line and its header fields
LINE_LIMIT = 8190  # bytes of a request line
BODY_LIMIT = 1024 * 1024 + 64 * 1024  # bytes; the application answers 413 beyond 1 MiB and keeps the connection
CHUNK_LIMIT = 16_384  # chunks of a body
CHUNK_LINE_LIMIT = 8190  # bytes of the line that gives a chunk's size

FIELDS = re.compile(rb"\r\n(content-length|transfer-encoding|expect):[ \t]*([^\r\n]*)", re.IGNORECASE)
SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?=\r\n|[ \t]*;)")


class Progress(Enum):
    """What is known of a request so far."""

    INCOMPLETE = "incomplete"
    COMPLETE = "complete"
    # Complete as far as it is read: the answer does not wait for the rest of the body, and the connection ends with it.
    CUT_SHORT = "cut short"
    LINE_TOO_LONG = "line too long"
    HEAD_TOO_LARGE = "head too large"


class Framing:
    """The boundaries of one request in the bytes of its connection (RFC 9112, section 6)."""

    def __init__(self) -> None:
        self.head_end = 0  # where the body begins; 0 as long as the head is incomplete
        self.expects_continue = False
        self.has_body = True  # False once the head says so
        self._searched = 0
        self._length: int | None = None  # of a body with Content-Length
        self._chunk_at = 0  # where the next chunk begins; 0 for a body that has none
        self._chunks = self._decoded = 0

    def progress(self, data: bytearray) -> Progress:
        """Return what ``data``, all bytes since the request's first one, amounts to. Call it after each arrival."""
        if not self.head_end:
            found = data.find(b"\r\n\r\n", self._searched)
            if found < 0:
                self._searched = max(0, len(data) - 3)
                return self._unfinished_head(data)
            self.head_end = found + 4
            if self.head_end > HEAD_LIMIT:
                return self._unfinished_head(data)
            self._read_fields(bytes(data[:found]))
        if self._length is not None:
            if self._length > BODY_LIMIT:
                return Progress.CUT_SHORT
            return Progress.COMPLETE if len(data) - self.head_end >= self._length else Progress.INCOMPLETE
        return self._chunked_body(data) if self._chunk_at else Progress.COMPLETE

    def _unfinished_head(self, data: bytearray) -> Progress:
        line_end = data.find(b"\r\n", 2, LINE_LIMIT + 4)  # one empty line may precede (RFC 9112, section 2.2)
        if line_end < 0 and len(data) > LINE_LIMIT + 2:
            return Progress.LINE_TOO_LONG
        if len(data) > HEAD_LIMIT:
            return Progress.HEAD_TOO_LARGE
        # A line that ends in LF alone never becomes a head; the parser refuses it.
        bare = data.count(b"\n") != data.count(b"\r\n")
        return Progress.COMPLETE if bare else Progress.INCOMPLETE

    def _read_fields(self, head: bytes) -> None:
        fields: dict[bytes, list[bytes]] = {}
        for name, value in FIELDS.findall(head):
            fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
        self.expects_continue = fields.get(b"expect", [b""])[-1].lower() == b"100-continue"
        codings, lengths = fields.get(b"transfer-encoding"), fields.get(b"content-length", [])
        self.has_body = codings is not None or lengths not in ([], [b"0"])
        if codings is not None:
            if codings[0].lower() == b"chunked" and not lengths:  # the parser refuses anything else
                self._chunk_at = self.head_end
        elif len(lengths) == 1 and lengths[0].isdigit():
            self._length = int(lengths[0][:19])

    def _chunked_body(self, data: bytearray) -> Progress:
        while True:
            line_end = data.find(b"\r\n", self._chunk_at, self._chunk_at + CHUNK_LINE_LIMIT)
            if line_end < 0:
                arrived = len(data) - self._chunk_at
                return Progress.INCOMPLETE if arrived < CHUNK_LINE_LIMIT else Progress.COMPLETE
            size = SIZE.match(data, self._chunk_at)
            if size is None:
                return Progress.COMPLETE
            length = int(size[0], 16)
            if length == 0:
                return self._trailers(data, line_end + 2)
            self._decoded, self._chunks = self._decoded + length, self._chunks + 1
            if self._decoded > BODY_LIMIT or self._chunks > CHUNK_LIMIT:
                return Progress.CUT_SHORT
            after = line_end + 2 + length
            if len(data) < after + 2:
                self._decoded, self._chunks = self._decoded - length, self._chunks - 1
                return Progress.INCOMPLETE
            if data[after : after + 2] != b"\r\n":
                return Progress.COMPLETE
            self._chunk_at = after + 2

    @staticmethod
    def _trailers(data: bytearray, start: int) -> Progress:
        if data[start : start + 2] == b"\r\n" or data.find(b"\r\n\r\n", start) >= 0:
            return Progress.COMPLETE
        return Progress.INCOMPLETE if len(data) - start < HEAD_LIMIT else Progress.COMPLETE
