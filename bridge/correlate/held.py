"""What is held in memory of what the ledger has: the most recently used, up to a bound."""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Held(Generic[T]):
    """Values by key, from the least to the most recently used.

    Args:
        most: How many stay at a ``shrink``.
        most_bytes: How many bytes they may be in the ledger, all together; in memory they are
            several times that. The one used last stays whatever its size.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._values: OrderedDict[str, T] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: str) -> T:
        return self._values[key]

    def use(self, key: str) -> T | None:
        """What is held under the key, used last from now on."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def hold(self, key: str, value: T) -> T:
        """Hold a value, used last from now on."""
        self._values[key] = value
        return value

    def weigh(self, key: str, size_bytes: int) -> None:
        """Know the size of what is held."""
        self._bytes += size_bytes - self._sizes.get(key, 0)
        self._sizes[key] = size_bytes

    def drop(self, key: str) -> None:
        """Hold it no longer."""
        del self._values[key]
        self._bytes -= self._sizes.pop(key, 0)

    def shrink(self) -> None:
        """Drop the least recently used until the bounds are kept."""
        while len(self._values) > self._most or (
            self._bytes > self._most_bytes and len(self._values) > 1
        ):
            self.drop(next(iter(self._values)))
