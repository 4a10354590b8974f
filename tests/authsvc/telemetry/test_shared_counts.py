"""Counts of several processes in memory that they share."""

from __future__ import annotations

import logging
from threading import Thread

import pytest

from authsvc.telemetry.shared_counts import SharedCounts, Slot
from tests.authsvc.telemetry.counting import HITS, counted, in_a_worker

# Later versions of Python warn where a process that has threads forks; the child here only counts.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

TIMES = ("times", "/a")


@pytest.fixture
def counts() -> SharedCounts:
    return SharedCounts(slots=3, size=4096)


def test_what_workers_count_is_summed_with_what_the_process_itself_has(counts: SharedCounts) -> None:
    counted(counts, amount=0.5)
    in_a_worker(counts, 0, times=3)
    in_a_worker(counts, 1, times=4)
    assert counts.totals() == {HITS: [7.5]}


def test_the_counts_of_an_ended_worker_stay_and_its_slot_is_used_again_without_growth(counts: SharedCounts) -> None:
    for round_number in range(1, 50):
        in_a_worker(counts, 0, times=2)
        counts.merge(0)
        assert counts.totals() == {HITS: [2.0 * round_number]}
    assert len(list(counts.slots[0].entries())) == 1
    assert list(counts.slots[1].entries()) == []


def test_a_merge_happens_once(counts: SharedCounts) -> None:
    in_a_worker(counts, 0, times=2)
    counts.merge(0)
    counts.merge(0)
    counts.merge(None)
    assert counts.totals() == {HITS: [2.0]}


def test_a_new_worker_begins_at_zero_whatever_was_counted_before_it_was_forked(counts: SharedCounts) -> None:
    counted(counts, amount=5)
    in_a_worker(counts, 0, times=0)
    assert dict(counts.slots[1].entries()) == {HITS: [0.0]}
    assert counts.totals() == {HITS: [5.0]}


def test_a_worker_without_a_slot_counts_for_itself(counts: SharedCounts) -> None:
    in_a_worker(counts, None, times=3)
    assert counts.totals() == {}
    counts.use(None)
    counted(counts)
    counts.add_two(counts.cells(TIMES, 3), 1, 2, 0.25)
    assert counts.totals() == {HITS: [1.0], TIMES: [0.0, 1.0, 0.25]}


def test_where_the_slot_is_full_the_process_goes_on_counting_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    counts = SharedCounts(slots=2, size=128)
    names = [("name", str(number)) for number in range(20)]
    with caplog.at_level(logging.ERROR, "authsvc.telemetry.shared_counts"):
        for name in names * 2:
            counted(counts, name)
    assert counts.totals() == {name: [2.0] for name in names}
    assert 0 < len(list(counts.slots[0].entries())) < 20
    assert [record.name for record in caplog.records] == ["authsvc.telemetry.shared_counts"]
    counts.use(0)  # a worker's slot is as small
    assert counts.totals()[names[0]] == [2.0]


def test_no_count_of_many_threads_is_lost(counts: SharedCounts) -> None:
    def work() -> None:
        for number in range(2000):
            counted(counts, ("hits", f"/{number % 7}"))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(total for (total,) in counts.totals().values()) == 16_000


def test_a_reader_waits_for_the_end_of_a_merge_and_not_for_ever(
    counts: SharedCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(counts)
    counts.merges[0] = 1
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        counts.merges[0] = 2

    monkeypatch.setattr("authsvc.telemetry.shared_counts.time.sleep", sleep)
    assert (counts.totals(), len(waits)) == ({HITS: [1.0]}, 1)
    counts.merges[0] = 3
    monkeypatch.setattr("authsvc.telemetry.shared_counts.time.sleep", waits.append)
    monkeypatch.setattr("authsvc.telemetry.shared_counts.PATIENCE", 0.02)
    assert counts.totals() == {HITS: [1.0]}


def test_an_entry_that_was_being_written_when_its_process_was_killed_is_no_entry() -> None:
    slot = Slot(memoryview(bytearray(1024)))
    slot.append(HITS, 1)
    complete = slot.words[0]
    slot.append(TIMES, 4)
    slot.words[0] = complete
    assert list(slot.entries()) == [(HITS, [0.0])]
    assert slot.append(TIMES, 100_000) is None


@pytest.mark.parametrize(
    "name", [("",), ("a",), ("a" * 8,), ("a" * 15, "b"), ("\N{GREEK SMALL LETTER ALPHA}", "", "x")]
)
def test_a_name_of_any_length_is_read_as_it_was_written(name: tuple[str, ...]) -> None:
    slot = Slot(memoryview(bytearray(1024)))
    for width in (1, 13, 2):
        first = slot.append(name, width)
        assert first is not None
        slot.values[first] = width
    assert [(found, values[0], len(values)) for found, values in slot.entries()] == [
        (name, width, width) for width in (1, 13, 2)
    ]
