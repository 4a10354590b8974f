"""The client of clients/python, against the real service. It is imported from where it is written, not installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "clients" / "python" / "src"))
