"""What a step counts of the records it takes in, whatever becomes of them.

Repetitions count again here: these numbers tell what clients send, not what it came to.
"""

from collections import Counter
from collections.abc import Sequence

from bridge.decode.claude_code.known import is_known_measure, unknown_names
from bridge.metrics.usage import label_value
from bridge.model.counted import Counts, Series
from bridge.model.events import Origin, Record
from bridge.model.measures import Measurement


class Seen:
    """Records by their client's version, and the names that are not known."""

    def __init__(self) -> None:
        self._origins: list[Origin] = []
        self._unknown: Counter[tuple[str, str]] = Counter()

    def note_records(self, records: Sequence[Record]) -> None:
        """Count neighbours in a request."""
        self._origins += [record.origin for record in records]
        for record in records:
            if unknown := unknown_names(record.event):
                self._unknown.update(unknown)

    def note_measurement(self, measurement: Measurement) -> None:
        """Count one data point."""
        self._origins.append(measurement.origin)
        measure = measurement.point.measure
        if not is_known_measure(measure):
            self._unknown["metric", label_value(measure)] += 1

    def counts(self) -> Counts:
        """All of it as series."""
        told = Counter([origin.service_version or "unknown" for origin in self._origins])
        versions = {
            Series("client_records", told=(("version", label_value(version)),)): n
            for version, n in told.items()
        }
        return versions | {
            Series("unknown_names", (("kind", kind),), (("name", name),)): n
            for (kind, name), n in self._unknown.items()
        }
