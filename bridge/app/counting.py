"""What a step counts of the records it takes in, whatever becomes of them.

Repetitions count again here: these numbers tell what clients send, not what it came to.
"""

from collections import Counter

from bridge.decode.claude_code.known import is_known_measure, unknown_names
from bridge.metrics.usage import label_value
from bridge.model.counted import Counts, Series
from bridge.model.events import Record
from bridge.model.measures import Measurement


class Seen:
    """Records by their client's version, and the names that are not known."""

    def __init__(self) -> None:
        self._versions: list[str] = []
        self._unknown: Counter[tuple[str, str]] = Counter()

    def note(self, item: Record | Measurement) -> None:
        """Count one record or data point."""
        self._versions.append(item.origin.service_version or "unknown")
        if type(item) is Record:
            if unknown := unknown_names(item.event):
                self._unknown.update(unknown)
        elif type(item) is Measurement and not is_known_measure(item.point.measure):
            self._unknown["metric", label_value(item.point.measure)] += 1

    def counts(self) -> Counts:
        """All of it as series."""
        versions = {
            Series("client_records", told=(("version", label_value(version)),)): n
            for version, n in Counter(self._versions).items()
        }
        return versions | {
            Series("unknown_names", (("kind", kind),), (("name", name),)): n
            for (kind, name), n in self._unknown.items()
        }
