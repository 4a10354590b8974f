"""How much of a request has arrived, whatever pieces it comes in."""

import pytest

from authsvc.server.framing import BODY_LIMIT, CHUNK_LIMIT, HEAD_LIMIT, LINE_LIMIT, Framing, Progress

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def after(data: bytes) -> Progress:
    """Return what a request that arrives at once amounts to."""
    return Framing().progress(bytearray(data))


COMPLETE = {
    "no header field": b"GET / HTTP/1.0\r\n\r\n",
    "an empty line before": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no body": HEAD + b"\r\n",
    "a body": HEAD + b"Content-Length: 3\r\n\r\nabc",
    "a body, and the next request": HEAD + b"content-LENGTH:3\r\n\r\nabcGET",
    "an empty body": HEAD + b"Content-Length: 0\r\n\r\n",
    "one chunk": CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    "two chunks": CHUNKED + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "no chunk": CHUNKED + b"0\r\n\r\n",
    "an extension": CHUNKED + b"3;a=b\r\nabc\r\n0 ;c\r\n\r\n",
    "trailers": CHUNKED + b"0\r\nX-A: b\r\nX-C: d\r\n\r\n",
}


@pytest.mark.parametrize("data", COMPLETE.values(), ids=COMPLETE)
def test_a_request_is_complete_with_its_last_byte_whatever_pieces_it_comes_in(data: bytes) -> None:
    assert after(data) is Progress.COMPLETE
    whole = data.removesuffix(b"GET")
    for size in (1, 2, 5):
        framing, arrived, found = Framing(), bytearray(), []
        for start in range(0, len(whole), size):
            arrived += whole[start : start + size]
            found.append(framing.progress(arrived))
        assert found == [Progress.INCOMPLETE] * (len(found) - 1) + [Progress.COMPLETE]


REFUSED_BY_THE_PARSER = {
    "nothing but an empty line": b"\r\n\r\n",
    "a line feed alone": b"GET / HTTP/1.1\nHost: a\n",
    "two lengths": HEAD + b"Content-Length: 9\r\nContent-Length: 9\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: -9\r\n\r\n",
    "a length and chunks": HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
    "another coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a size that is none": CHUNKED + b"zz\r\n",
    "a size of too many digits": CHUNKED + b"123456789\r\n",
    "a signed size": CHUNKED + b"-2\r\n",
    "a line feed in a size": CHUNKED + b"2\n{}\n0\n\r\n",
    "a size that never ends": CHUNKED + b"1" * 9000,
    "a chunk that does not end where it should": CHUNKED + b"2\r\nabc\r\n",
    "trailers that never end": CHUNKED + b"0\r\n" + b"X-A: b\r\n" * 9000,
}


@pytest.mark.parametrize("data", REFUSED_BY_THE_PARSER.values(), ids=REFUSED_BY_THE_PARSER)
def test_what_the_parser_will_refuse_waits_for_nothing_more(data: bytes) -> None:
    assert after(data) is Progress.COMPLETE


INCOMPLETE = {
    "nothing": b"",
    "half a line": b"GET /",
    "half a head": HEAD,
    "half a body": HEAD + b"Content-Length: 9\r\n\r\nabc",
    "half a size": CHUNKED + b"3",
    "half a chunk": CHUNKED + b"3\r\nab",
    "no end of a chunk": CHUNKED + b"3\r\nabc",
    "no last chunk": CHUNKED + b"3\r\nabc\r\n",
    "half a trailer": CHUNKED + b"0\r\nX-A: b\r\n",
}


@pytest.mark.parametrize("data", INCOMPLETE.values(), ids=INCOMPLETE)
def test_a_part_of_a_request_is_incomplete(data: bytes) -> None:
    assert after(data) is Progress.INCOMPLETE


@pytest.mark.parametrize(
    ("data", "progress"),
    [
        pytest.param(b"GET /" + b"a" * LINE_LIMIT, Progress.LINE_TOO_LONG, id="a line without an end"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT, Progress.HEAD_TOO_LARGE, id="an endless field"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 20_000 + b"\r\n", Progress.HEAD_TOO_LARGE, id="too many fields"
        ),
        pytest.param(
            HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1), Progress.CUT_SHORT, id="too large a body"
        ),
        pytest.param(HEAD + b"Content-Length: %d\r\n\r\n" % 10**40, Progress.CUT_SHORT, id="a length of 41 digits"),
        pytest.param(CHUNKED + b"%x\r\n" % (BODY_LIMIT + 1), Progress.CUT_SHORT, id="too large a chunk"),
        pytest.param(CHUNKED + b"1\r\na\r\n" * (CHUNK_LIMIT + 1), Progress.CUT_SHORT, id="too many chunks"),
    ],
)
def test_what_is_too_large_is_known_before_it_has_arrived(data: bytes, progress: Progress) -> None:
    assert after(data) is progress


def test_a_chunk_that_arrives_in_pieces_counts_once() -> None:
    framing, arrived = Framing(), bytearray(CHUNKED + b"%x\r\n" % (BODY_LIMIT // 2 + 1))
    for _ in range(5):
        assert framing.progress(arrived) is Progress.INCOMPLETE
        arrived += b"a"


@pytest.mark.parametrize(("value", "expects"), [(b"100-continue", True), (b"100-Continue", True), (b"other", False)])
def test_a_client_that_waits_to_be_asked_for_its_body_is_known(value: bytes, expects: bool) -> None:
    framing = Framing()
    framing.progress(bytearray(HEAD + b"Content-Length: 1\r\nExpect: " + value + b"\r\n\r\n"))
    assert framing.expects_continue is expects


@pytest.mark.parametrize(
    ("fields", "has_body"),
    [
        (b"", False),
        (b"Content-Length: 0\r\n", False),
        (b"Content-Length: 3\r\n", True),
        (b"Content-Length: x\r\n", True),
        (b"Content-Length: 0\r\nContent-Length: 3\r\n", True),
        (b"Transfer-Encoding: chunked\r\n", True),
        (b"Transfer-Encoding: identity, chunked\r\n", True),
    ],
)
def test_a_body_that_the_parser_may_read_is_never_taken_for_none(fields: bytes, has_body: bool) -> None:
    framing = Framing()
    assert framing.has_body
    framing.progress(bytearray(HEAD + fields + b"\r\n"))
    assert framing.has_body is has_body
