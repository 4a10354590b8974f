"""A strict reader of ``.env``: a line that cannot be read is an error that names it, never a silent default."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

ASSIGNMENT = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=(.*)")
COLON = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*:")
QUOTED = re.compile(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")[ \t]*(?:#.*)?""")
ESCAPE = re.compile(r'\\(["\\$`])')
COMMENT = re.compile(r"[ \t]+#.*")
# Variables that libraries read from the environment; authsvc passes them on.
FOREIGN = re.compile(r"(DJANGO_|GUNICORN_|PROMETHEUS_|PYTHON|PG|SSL_|LC_)\w+|TZ|LANG|TMPDIR")


class Line(NamedTuple):
    """One assignment of the file."""

    number: int
    name: str
    value: str


class Dotenv:
    """The ``.env`` file of this process: what it set, and where."""

    def __init__(self) -> None:
        self.path = Path(".env")
        self.lines: list[Line] = []
        self.loaded: dict[str, str] = {}
        self.frozen = False

    def load(self, path: Path) -> None:
        """Add the file's variables to the environment; the environment wins. Without a file, do nothing."""
        if self.frozen:
            return
        self.path, self.lines, self.loaded = path, [], {}
        self.lines = list(parse(path, read(path)))
        given = {**os.environ}
        for _, name, value in self.lines:
            # NAME and NAME_FILE set one setting, so either of them in the environment wins over both in the file.
            twin = name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"
            if name not in given and not given.get(twin):
                self.loaded[name] = os.environ[name] = value

    def freeze(self, values: dict[str, str]) -> None:
        """Use values that another process has read from the file, and do not read it again."""
        os.environ.update(values)
        self.frozen = True

    def warnings(self, known: Iterable[str]) -> Iterator[str]:
        """Yield a sentence for each name that no setting reads, and for each that is set twice."""
        ours, first = set(known), dict[str, int]()
        for number, name, _ in self.lines:
            if name in first:
                yield f"{self.path.name}, line {number}: {name} is set again and replaces line {first[name]}."
            elif name not in ours and not FOREIGN.fullmatch(name):
                close = get_close_matches(name.upper(), sorted(ours), n=1)
                hint = (
                    f"; did you mean {close[0]}?" if close else ": remove the line, or see .env.example for the names."
                )
                yield f"{self.path.name}, line {number}: {name} is not a variable of authsvc{hint}"
            first.setdefault(name, number)

    def warn(self, known: Iterable[str]) -> None:
        """Print the warnings to stderr; logging is not set up yet."""
        for sentence in self.warnings(known):
            print(f"authsvc: {sentence}", file=sys.stderr)  # noqa: T201  the settings of logging are being read


current = Dotenv()


def read(path: Path) -> str:
    """Return the file's text, or "" without a file. Raises ImproperlyConfigured where it is not UTF-8 text."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        reason = "it is a folder, not a file" if path.is_dir() else error.strerror
        advice = "" if path.is_dir() else "; make it readable for the user that runs authsvc"
        raise ImproperlyConfigured(f"{path.name} cannot be read: {reason}{advice}.") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise ImproperlyConfigured(f"{path.name} is UTF-16 or binary: save it as UTF-8 text.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise ImproperlyConfigured(f"{path.name}, line {number}: this is not UTF-8; save the file as UTF-8.") from error


def parse(path: Path, text: str) -> Iterator[Line]:
    """Yield the assignments. Raises ImproperlyConfigured that names a line, never its content, which may be secret."""
    for number, raw in enumerate(re.split(r"\r\n?|\n", text), 1):
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            yield Line(number, *assignment(stripped))
        except ValueError as error:
            raise ImproperlyConfigured(f"{path.name}, line {number}: {error}.") from error


def assignment(line: str) -> tuple[str, str]:
    """Return the name and value of ``NAME=value``. Raises ValueError with what to write instead."""
    match = ASSIGNMENT.fullmatch(line)
    if match is None:
        if colon := COLON.match(line):
            raise ValueError(f'write {colon[1]}=…, with "=" instead of ":"')
        raise ValueError("this is not NAME=value; a name has letters, digits and underscores, a comment begins with #")
    name, value = match[1], match[2].strip()
    if value[:1] in {"'", '"'}:
        quoted = QUOTED.fullmatch(value)
        if quoted is None:
            raise ValueError(f"the value of {name} must end with the quote that it begins with, on the same line")
        value = quoted[1] if quoted[1] is not None else ESCAPE.sub(r"\1", quoted[2])
    else:
        value = COMMENT.sub("", match[2]).strip()
    if not value.isprintable():
        raise ValueError(f"the value of {name} has characters that are not text")
    return name, value
