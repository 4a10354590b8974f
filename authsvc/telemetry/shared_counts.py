"""Numbers that several processes count up, in anonymous memory that they share: no file, and nothing to clean up.

The memory is mapped when this module is loaded: under gunicorn in its first process, before workers are forked. It has
one slot for each worker, which that worker alone writes to, so no lock is shared. The first slot belongs to the process
that mapped the memory: gunicorn's first process adds to it what a worker has counted when the worker has ended. Memory
that nobody has written to takes no space.
"""

from __future__ import annotations

import logging
import mmap
import time
from collections.abc import Iterator
from itertools import chain
from threading import Lock

SLOTS = 257  # one more than the workers that authsvc.server.slots has slots for
SLOT_SIZE = 256 * 1024  # bytes; the counts of a thousand routes and statuses have room
WORD = 8  # bytes of a number
WIDEST = 256  # numbers under one name, at most
PATIENCE = 0.5  # seconds that a reader waits for the end of a merge; longer than that takes none

logger = logging.getLogger(__name__)
Name = tuple[str, ...]


class Slot:
    """The counts of one process: the number of words in use, and then the entries.

    An entry is a word with the length of its name and the number of its cells, the name, and the cells. Entries are
    only added, and count once the number of words in use says so: a reader never meets half an entry.
    """

    def __init__(self, memory: memoryview) -> None:
        self.bytes: memoryview[int] = memory
        self.words: memoryview[int] = memory.cast("Q")
        self.values: memoryview[float] = memory.cast("d")

    def append(self, name: Name, width: int) -> int | None:
        """Add cells of 0 under a name and return the place of the first; None where there is no room."""
        key = "\0".join(name).encode()
        at = self.words[0] or 1
        first = at + 1 - (-len(key) // WORD)
        if first + width > len(self.words):
            return None
        self.words[at] = len(key) * WIDEST + width
        self.bytes[(at + 1) * WORD : (at + 1) * WORD + len(key)] = key
        self.values[first : first + width] = memoryview(bytes(width * WORD)).cast("d")
        self.words[0] = first + width
        return first

    def entries(self) -> Iterator[tuple[Name, list[float]]]:
        """Yield each name with its numbers."""
        at, end = 1, self.words[0]
        while at < end:
            length, width = divmod(self.words[at], WIDEST)
            first, start = at + 1 - (-length // WORD), (at + 1) * WORD
            name = self.bytes[start : start + length].tobytes().decode()
            yield tuple(name.split("\0")), list(self.values[first : first + width])
            at = first + width

    def clear(self) -> None:
        """Forget everything."""
        self.words[0] = 0


class Cells:
    """Where this process counts what has a name: in its slot, or apart where the slot is full."""

    def __init__(self, name: Name, width: int) -> None:
        self.name, self.width = name, width
        self.values: memoryview[float] = memoryview(bytearray(width * WORD)).cast("d")
        self.first = 0

    def move(self, slot: Slot) -> bool:
        """Count in a slot from now on, beginning with 0; say whether it has room."""
        first = slot.append(self.name, self.width)
        if first is not None:
            self.values, self.first = slot.values, first
        return first is not None


class SharedCounts:
    """The counts of all processes. One for each process, which is forked with it."""

    def __init__(self, slots: int = SLOTS, size: int = SLOT_SIZE) -> None:
        memory = memoryview(mmap.mmap(-1, WORD + slots * size))
        self.merges = memory[:WORD].cast("Q")  # odd while the first process moves counts from one slot to another
        self.slots = [Slot(memory[start : start + size]) for start in range(WORD, len(memory), size)]
        self.lock, self.known, self.apart = Lock(), dict[Name, Cells](), dict[Name, Cells]()
        self.own = self.slots[0]

    def use(self, number: int | None) -> None:
        """Count in a worker's slot from now on; in the process alone, where the worker has none."""
        self.own, self.apart = Slot(memoryview(bytearray(SLOT_SIZE))) if number is None else self.slots[number + 1], {}
        self.own.clear()
        for cells in self.known.values():
            self.place(cells)

    def cells(self, name: Name, width: int) -> Cells:
        """Return the cells of a name, of this process."""
        cells = self.known.get(name)
        if cells is None:
            with self.lock:
                cells = self.known.get(name) or self.place(Cells(name, width))
                self.known[name] = cells
        return cells

    def place(self, cells: Cells) -> Cells:
        """Give cells their room in the slot, or count apart, which only this process's own scrapes see."""
        if not cells.move(self.own):
            if not self.apart:
                logger.error("the memory for metrics is full: what is new is counted in each process alone")
            self.apart[cells.name] = cells
        return cells

    def add(self, cells: Cells, offset: int, amount: float) -> None:
        """Count."""
        with self.lock:
            cells.values[cells.first + offset] += amount

    def add_two(self, cells: Cells, offset: int, other: int, amount: float) -> None:
        """Count one at an offset, and add an amount at another."""
        with self.lock:
            cells.values[cells.first + offset] += 1.0
            cells.values[cells.first + other] += amount

    def merge(self, number: int | None) -> None:
        """Move what an ended worker has counted to the first slot. Called in the first process alone."""
        if number is None:
            return
        ended = self.slots[number + 1]
        self.merges[0] += 1
        try:
            for name, values in ended.entries():
                cells = self.cells(name, len(values))
                for offset, value in enumerate(values):
                    self.add(cells, offset, value)
            ended.clear()
        finally:
            self.merges[0] += 1

    def totals(self) -> dict[Name, list[float]]:
        """Return the sums over all processes, by name. What is moved meanwhile is counted once."""
        end = time.monotonic() + PATIENCE
        while True:
            before = self.merges[0]
            found = self.sums()
            if (before % 2 == 0 and before == self.merges[0]) or time.monotonic() > end:
                return found
            time.sleep(0.001)

    def sums(self) -> dict[Name, list[float]]:
        """Add up what there is at the moment."""
        found: dict[Name, list[float]] = {}
        apart = [(cells.name, list(cells.values)) for cells in list(self.apart.values())]
        entries: Iterator[tuple[Name, list[float]]] = chain(apart, *(slot.entries() for slot in self.read()))
        for name, values in entries:
            known = found.get(name, [0.0] * len(values))
            found[name] = [one + other for one, other in zip(known, values, strict=True)]
        return found

    def read(self) -> list[Slot]:
        """Return the slots that are to be added up."""
        return self.slots if self.own in self.slots else [*self.slots, self.own]


counts = SharedCounts()
