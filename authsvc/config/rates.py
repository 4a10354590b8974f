"""Rate limits as people write them: ``10/second; 1000/hour``. Pure, no Django."""

import re

PART = re.compile(r"([1-9][0-9]{0,6}) ?/ ?(second|minute|hour|day)", re.ASCII)
MOST_PARTS = 4


def canonical(text: str) -> str:
    """Return limits such as ``10/second; 1000/hour`` in one form. Raises ValueError for anything else."""
    parts = [PART.fullmatch(part.strip()) for part in text.split(";", MOST_PARTS)]
    found = [(int(part[1]), part[2]) for part in parts if part is not None]
    if len(found) != len(parts) or len(parts) > MOST_PARTS or len({unit for _, unit in found}) != len(found):
        raise ValueError(text)
    return "; ".join(f"{amount}/{unit}" for amount, unit in found)
