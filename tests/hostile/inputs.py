"""What nobody sends in good faith: as much as is taken of it, and of the kinds that parsers are known to be slow at."""

from collections.abc import Iterable

FIELD = 16 * 1024 - 100  # characters of a header field
NULL, HALF, MARKS, ZERO_WIDTH = "\\u0000", "\\ud800", "\\u0316\\u0301", "\\u200b"  # as JSON escapes them


def text(content: str, times: int = 1) -> str:
    """Return a string of JSON."""
    return f'"{content * times}"'


def array(items: Iterable[str]) -> str:
    """Return an array of JSON."""
    return f"[{','.join(items)}]"


def names(count: int) -> str:
    """Return an object with so many members, of JSON."""
    return "{" + ",".join(f'"{number:x}":1' for number in range(count)) + "}"


# What stands in a field, as JSON text.
VALUES = {
    "letters": text("a", 900_000),
    "combining marks": text(MARKS, 80_000),
    "an address": text("a@", 400_000),
    "labels": text("a@" + "a." * 400_000),
    "tokens": text("eyJ", 300_000),
    "spaces": text(" " * 900_000 + "x"),
    "nulls": text(NULL, 150_000),
    "halves": text(HALF, 150_000),
    "invisible": text(ZERO_WIDTH, 150_000),
    "numbers": array(["9" * 4000] * 200),
    "fractions": array(["0." + "1" * 4000] * 200),
    "a fraction": "0." + "1" * 900_000,
    "a number": "9" * 900_000,
    "ones": array("1" * 99_000),
    "texts": array([text("a:b")] * 90_000),
    "long texts": array([text("a", 9000)] * 100),
    "addresses": array(text(f"2001:db8::{number:x}/127") for number in range(40_000)),
    "nothings": array(["null"] * 99_000),
    "nested": "[" * 700 + "]" * 700,
    "bottomless": "[" * 500_000,
    "many nestings": array(["[" * 90 + "]" * 90] * 1000),
    "members": names(70_000),
    "too many members": names(104_000),
    "objects": array(['{"a":{}}'] * 33_000),
}
HEADERS = {
    "User-Agent": ("eyJ" * 5400, "eyJ." * 4000, "_" * FIELD, "a_" * 8000, "eyJ-" * 4000 + "."),
    "X-Forwarded-For": ("," * FIELD, "1:" * 8000, "%" * FIELD),
    "Content-Type": ('a/b; a="' + ";" * FIELD, "a/b" + ";" * FIELD, 'a/b; a="' + '\\";' * 5000, "a" * FIELD),
    "Cookie": ('a="' + '\\"' * 8000 + '"', 'authsvc_session="' + "\\1" * 8000 + '"', ";" * FIELD, "a=b;" * 4000),
    "Authorization": (
        *(f"Bearer {part * (FIELD // len(part))}" for part in (".", "a", "a.", "eyJ", "eyJ9.")),
        f"Basic {'YTph' * 4000}",
        f"Basic {'=' * FIELD}",
        "a " * 8000,
    ),
    "X-API-Key": ("_" * FIELD, "a_" * 8000, "sk_" + "a" * FIELD, "\xff" * FIELD),
    "X-Request-ID": ("a" * FIELD, "eyJ" * 5000, "_" * FIELD),
    "Origin": ("http://" + "a." * 8000, "http://" + "\xe9" * FIELD, "[" * FIELD),
    "Host": ("a." * 8000, "[" + ":" * FIELD, "1" * FIELD),
    "Accept": ("*/*," * 4000, "a/b;" + 'q="' * 5000, "a;b," * 16_360),  # the last is four headers, joined
    "Accept-Language": ("a-" * 8000, "en;q=1," * 2000),
    "Accept-Encoding": ("gzip," * 3000,),
    "If-None-Match": ('"",' * 5000, 'W/"' * 5000),
    "If-Modified-Since": ("Sun, " * 3000, "0" * FIELD),
    "Range": ("bytes=" + "0-1," * 4000,),
    "Referer": ("http://" + "a." * 8000,),
    "Github-Public-Key-Signature": ("=" * FIELD,),
}
QUERIES = ("a=1&" * 2000, "&" * 8000, "scope=a&" * 1000, "%00" * 2600, "limit=" + "9" * 8000, "cursor=" + "A" * 8000,
           "status=" + "a" * 8000, "%F0%9F" * 1300, "days=-" + "1" * 8000)  # fmt: skip
PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
FORMS = (
    b"a=1&" * 260_000, b"&" * 1_000_000, b"token=" + b"%41" * 340_000, b"token=" + b"+" * 1_000_000,
    b"=" * 1_000_000, b"%" * 1_000_000, PART * 18_000,
)  # fmt: skip

# Values of a cookie; the first as in the fault that was found.
COOKIES = (
    r'"\000abcdefghij"',
    r'"abc\000defghijklmnopqrstuvwxyz123456"', "abcdefgh\0ijkl", "a" * 8000, r'"\355\240\200abcdefgh"',
    "\xed\xa0\x80abcdefgh", "\xffabcdefghi", '"', "'; select 1", "a:b:c", ".eJx:1a2b3c:x", "",
)  # fmt: skip
