"""Every link of the documents leads somewhere, every file that they name exists, and the front page is short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authsvc.conftest import ROOT

ROOMS = (
    "authsvc",
    "accounts",
    "apikeys",
    "audit",
    "gateway",
    "protected",
    "tests",
    "bench",
    "deploy",
    "docs",
    "clients",
)
PROSE = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "bench").glob("*.md"),
        *(ROOT / "clients" / "python").glob("*.md"),
    ]
)
# What may name a document; this file names some that are not there.
SOURCES = sorted(
    path
    for places in (*((ROOT / room).rglob("*") for room in ROOMS), ROOT.glob("*"))
    for path in places
    if path != Path(__file__)
    if path.suffix in {".py", ".sh", ".yml", ".yaml", ".conf", ".service", ".socket", ".toml", ".md"}
    or path.name in {".env.example", "Makefile", "Dockerfile", "Caddyfile"}
)
NAMES = {path.name for room in ROOMS for path in (ROOT / room).rglob("*.*")} | {path.name for path in ROOT.iterdir()}

# Documents that name files of ours without their folder; in guides such a name is often a file of the reader's.
ON_THE_CODE = {"CONTRIBUTING.md", "architecture.md", "decisions.md"}

FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?)[ #]*$", re.MULTILINE)
# A path below a room, wherever it stands in code; what follows a slash is part of another path, or of a URL.
PATH = re.compile(rf"(?<![\w/.:~$-])(?:{'|'.join(ROOMS)})/[\w./*-]*")
BARE = re.compile(r"(?<![\w/.-])[\w-]+\.(?:py|md)(?![\w/])")
DOCUMENT = re.compile(r"(?<![\w/])docs/[\w-]+\.md(?:#[\w-]+)?")


def text_of(path: Path) -> str:
    """Return a document without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Return the fragments that lead to a document's headings, as GitHub makes them."""
    seen, found = Counter[str](), set()
    for heading in HEADING.findall(text_of(path)):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def leads(source: Path, target: str) -> bool:
    """Say whether a relative link of a document leads to a file and, where it names one, to a heading there."""
    place, _, fragment = target.partition("#")
    path = (source.parent / place) if place else source
    if not path.resolve().is_relative_to(ROOT) or not path.exists():
        return False
    return not fragment or (path.suffix == ".md" and fragment in anchors(path))


def dead_links(source: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    prose = SPAN.sub("", text_of(source))
    targets = (inline or reference for inline, reference in LINK.findall(prose))
    return [target for target in targets if not re.match(r"[a-z]+:", target) and not leads(source, target)]


def code(source: Path) -> Iterator[str]:
    """Yield the code of a document: its blocks, and what stands in backticks."""
    content = source.read_text(encoding="utf-8")
    yield from (block[0] for block in FENCE.finditer(content))
    yield from (span[2] for span in SPAN.finditer(FENCE.sub("", content)))


def missing_files(source: Path) -> list[str]:
    """Return the files that a document's code names and that are not here; a pattern names those that it matches."""
    words = list(code(source))
    paths = {found.rstrip(".") for word in words for found in PATH.findall(word)}
    bare = {found for word in words for found in BARE.findall(word) if source.name in ON_THE_CODE}
    return sorted([path for path in paths if not any(ROOT.glob(path.rstrip("/")))] + list(bare - NAMES))


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    assert dead_links(path) == []


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    assert missing_files(path) == []


def test_every_document_that_a_file_names_exists() -> None:
    assert len(SOURCES) > 300
    named = {(path, name) for path in SOURCES for name in DOCUMENT.findall(path.read_text(encoding="utf-8"))}
    absent = {(str(path.relative_to(ROOT)), name) for path, name in named if not leads(ROOT / "README.md", name)}
    assert absent == set()


def test_dead_links_and_missing_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "here.md").write_text("# Here, and `there`\n## Twice\n## Twice\n```sh\n## no heading\n```\n")
    document = tmp_path / "CONTRIBUTING.md"
    document.write_text(
        """# A page
        [a](docs/here.md) [b](docs/here.md#here-and-there) [c](docs/here.md#twice-1) [d](#a-page) [e](https://x.example/y)
        [f](docs/gone.md) [g](docs/here.md#gone) [h](#gone) [i](../outside.md) ![j](gone.png) [k](docs#here) `[l](gone)`
        `docs/here.md` `docs/*.md` `python docs/gone.py 70` `/protected/any` `https://x.example/docs/gone` `gone.md`
```sh
cat tests/gone/ /opt/docs/gone.md [m](gone)
```
[n]: docs/gone
"""
    )
    gone = ["docs/gone.md", "docs/here.md#gone", "#gone", "../outside.md", "gone.png", "docs#here", "docs/gone"]
    assert dead_links(document) == gone
    assert missing_files(document) == ["docs/gone.py", "gone.md", "tests/gone/"]
    assert missing_files(document.rename(tmp_path / "guide.md")) == ["docs/gone.py", "tests/gone/"]


def test_the_front_page_is_short_and_its_picture_small() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 100
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", readme)
    assert (ROOT / picture).stat().st_size < 150_000


def test_every_term_of_the_glossary_says_where_it_is_documented() -> None:
    terms = re.split(r"^- \*\*", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(terms) > 40
    assert [term for term in terms if "→ [" not in term] == []
