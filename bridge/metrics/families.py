"""The metrics there are: names, kinds, meanings and labels, by Prometheus' conventions.

The README's table is written from here, and ``exposition`` shows what is listed here only.
"""

from enum import StrEnum
from typing import Final

import msgspec

PREFIX: Final = "langfuse_bridge_"

PICO: Final = 1e-12
MILLI: Final = 1e-3


class Kind(StrEnum):
    """Prometheus' types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One metric.

    Attributes:
        name: Without ``PREFIX`` and without the ``_total`` of a counter.
        labels: Besides the configured tags.
        tagged: Whether it has the configured tags as labels.
        unit: What one is worth of the whole numbers that the ledger keeps.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    tagged: bool = False
    unit: float = 1.0

    @property
    def shown_name(self) -> str:
        """As queries name it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


def _counter(name: str, help_text: str, *labels: str) -> Family:
    return Family(name=name, kind=Kind.COUNTER, help=help_text, labels=labels)


def _gauge(name: str, help_text: str, *labels: str) -> Family:
    return Family(name=name, kind=Kind.GAUGE, help=help_text, labels=labels)


def _histogram(name: str, help_text: str, *labels: str) -> Family:
    return Family(name=name, kind=Kind.HISTOGRAM, help=help_text, labels=labels)


def _usage(name: str, help_text: str, *labels: str, unit: float = 1.0) -> Family:
    return Family(
        name=name, kind=Kind.COUNTER, help=help_text, labels=labels, tagged=True, unit=unit
    )


FAMILIES: Final = (
    _gauge("build_info", "The version that runs; always 1.", "version", "python"),
    _gauge(
        "healthy",
        "1 while both files can be read and written, else 0; while they cannot be read, most others"
        " are absent.",
    ),
    _gauge("uptime_seconds", "Since the receiving process started."),
    _counter("records_accepted", "Log records, points and spans that were answered with success."),
    _gauge("records_held", "Records that are accepted and not at their end yet."),
    _counter("records_settled", "Records at their end, by how they ended.", "outcome"),
    _counter("client_records", "Records of coding agents by their version.", "version"),
    _counter(
        "unknown_names",
        "Records with an event, span, metric or attribute that this version does not know.",
        "kind",
        "name",
    ),
    _counter("answers", "Export requests answered since the receiver started.", "protocol", "code"),
    _counter("refusals", "Requests refused since the receiver started.", "reason"),
    _histogram("answer_seconds", "Time from an export request's head to its answer.", "protocol"),
    _gauge(
        "lag_seconds",
        "Age of the oldest: assemble, a request not read; settle, a turn that holds records; "
        "deliver, an observation not delivered.",
        "stage",
    ),
    _gauge("open_turns", "Prompts that are not closed."),
    _gauge("open_sessions", "Sessions of which something goes on."),
    _gauge("observations_pending", "Observations that wait for Langfuse."),
    _counter("observations_delivered", "Observations that Langfuse took."),
    _counter("observations_dead_lettered", "Observations that Langfuse refused for good."),
    _counter("scores", "Values of scores by how they ended.", "outcome"),
    _counter("delivery_attempts", "Requests with spans to Langfuse by what followed.", "outcome"),
    _histogram("delivery_seconds", "Time of one request with spans to Langfuse."),
    _histogram("delivery_batch_spans", "Spans in one request to Langfuse."),
    _gauge("last_delivery_timestamp_seconds", "When Langfuse last took spans."),
    _gauge("langfuse_state", "1 for what is known of Langfuse now, 0 for the others.", "state"),
    _counter("cost_gaps", "Session summaries whose events and metrics tell different costs."),
    _counter("unpriced_requests", "Requests without a cost, of stretches that have ended."),
    _gauge("store_bytes", "Size of a file of the bridge with its journal.", "file"),
    _gauge("store_max_bytes", "How large those files may become together."),
    _gauge("damaged_files", "Damaged files that were set aside and wait for a person."),
    _counter("secrets_masked", "Secrets masked under content = redacted."),
    _gauge("disk_free_bytes", "Free space on the disk of the data folder."),
    _gauge("disk_size_bytes", "Size of the disk of the data folder."),
    _usage("cost_usd", "Cost of model requests as the client tells it.", "model", unit=PICO),
    _usage("tokens", "Tokens of model requests, of kinds that do not overlap.", "model", "type"),
    _usage("model_requests", "Model requests.", "model", "outcome"),
    _usage("prompts", "Prompts of people."),
    _usage("sessions", "Stretches of activity that have ended, one or more for each session."),
    _usage("active_seconds", "Active time, counted when a stretch has ended.", unit=MILLI),
    _usage("lines", "Lines of code changed, counted when a stretch has ended.", "type"),
    _usage("commits", "Commits made, counted when a stretch has ended."),
    _usage("pull_requests", "Pull requests opened, counted when a stretch has ended."),
    _usage("tool_calls", "Tool calls.", "tool", "outcome"),
    _usage("tool_decisions", "Decisions whether a tool may run.", "decision", "source"),
)

BY_NAME: Final = {family.name: family for family in FAMILIES}


def metrics_table() -> str:
    """The README's table of metrics."""
    lines = ["| Metric | Type | Labels | Meaning |", "| --- | --- | --- | --- |"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        if family.tagged:
            labels = f"{labels}, tags" if labels else "tags"
        lines.append(f"| `{family.shown_name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines)
