"""The tours of README.md and docs/tour.md are run as they stand, and what they print is compared."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows import tour
from tests.flows.conftest import ROOT, Server

DOCUMENT = """
# A project

## Before
```sh
exit 1
```

## Tour
```console
$ make run
```
Say a name:
```sh
## this is no heading
NAME=world
```
And use it:
```sh
echo "Hello, $NAME. Your key is $RANDOM."
echo "Bye.  "
```
It says
```text
Hello, world. Your key is ….
Bye.
```

## After
```sh
exit 2
```
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Server]:
    """A server where nobody has been before, as the reader's own, who may take both tours."""
    running = Server(tmp_path_factory.mktemp("server"), new_database())
    running.migrate()
    running.start()
    yield running
    assert running.stop() == 0


def outcomes(text: str, server: Server, folder: Path) -> list[tuple[str, str]]:
    """Run a text's blocks against a server and return the documented and the printed output of each that has both."""
    manage = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'manage.py'))}"
    found = tour.steps(text.replace("http://127.0.0.1:8000", server.url).replace(".venv/bin/python manage.py", manage))
    printed = tour.run([step.code for step in found], folder, {**server.environment, "NO_PROXY": "127.0.0.1"})
    return [(step.expected, output) for step, output in zip(found, printed, strict=True) if step.expected is not None]


def test_the_readmes_ten_lines_do_what_they_say(fresh: Server, tmp_path: Path) -> None:
    section = tour.section((ROOT / "README.md").read_text(encoding="utf-8"), "Tour")
    (step,) = tour.steps(section)
    assert len(step.code.splitlines()) == 10
    (compared,) = outcomes(section, fresh, tmp_path)
    assert tour.matches(*compared), compared


def test_the_tour_does_what_it_says(fresh: Server, tmp_path: Path) -> None:
    compared = outcomes((ROOT / "docs" / "tour.md").read_text(encoding="utf-8"), fresh, tmp_path)
    assert len(compared) > 10
    assert [pair for pair in compared if not tour.matches(*pair)] == []


def test_the_tour_is_the_shell_blocks_of_its_section(tmp_path: Path) -> None:
    silent, spoken = tour.steps(tour.section(DOCUMENT, "Tour"))
    assert (silent.code, silent.expected) == ("## this is no heading\nNAME=world\n", None)
    assert spoken.expected == "Hello, world. Your key is ….\nBye.\n"
    nothing, hello = tour.run([silent.code, spoken.code], tmp_path, dict(os.environ))
    assert (nothing, tour.matches(spoken.expected, hello)) == ("", True)


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        pytest.param("a\nb\n", "a\nb", True, id="the same"),
        pytest.param("a\n", "b\n", False, id="another"),
        pytest.param('{"id": …}', '{"id": 1}', True, id="anything"),
        pytest.param('{"id": …}', '{"id": }', True, id="nothing for anything"),
        pytest.param("a … c … e", "a b c d e", True, id="anything twice"),
        pytest.param("a…c", "a\nc", False, id="anything ends with its line"),
        pytest.param("a.c", "abc", False, id="no pattern"),
        pytest.param("a", "a\nb", False, id="a line more"),
        pytest.param("a\nb", "a", False, id="a line less"),
        pytest.param("", "a", False, id="nothing expected"),
    ],
)
def test_what_is_printed_is_compared_line_by_line(expected: str, printed: str, same: bool) -> None:
    assert tour.matches(expected, printed) is same
    assert tour.matches(printed, printed)


@pytest.mark.parametrize(
    "code", [pytest.param("false", id="fails"), pytest.param("echo $UNKNOWN_NAME", id="unset"), "false | true"]
)
def test_the_first_block_that_fails_is_named(tmp_path: Path, code: str) -> None:
    with pytest.raises(AssertionError, match="block 2 failed with 1"):
        tour.run(["true", code, "true"], tmp_path, {"PATH": os.environ["PATH"]})
    assert tour.run(["true"], tmp_path, {"PATH": os.environ["PATH"]}) == [""]


def test_a_document_without_the_section_is_no_success() -> None:
    with pytest.raises(AssertionError, match="there is no heading"):
        tour.section("# A project\n", "Tour")
    assert tour.section("## Tour\nGo.\n", "Tour") == "Go.\n"
