"""What an observation costs with the SDKs that people use otherwise: for gate 5.

Run as a program with the name of a client, the sink's URL and a corpus, it creates the observations
that the bridge makes of that corpus with that client, the same attributes on each, trace by trace;
it flushes, and prints the CPU seconds of creating and flushing. Importing, setting up, finding out
what there is to tell and putting it into arguments is not counted; bodies are compressed or not as
each does by default.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks.pipeline import Pipeline, steps
from bridge.decode.values import proto_attributes
from bridge.langfuse.wire import encode_span
from bridge.model.observations import PICO_PER_USD, Observation, ObservationKind

FLUSH_AFTER = 1_000
"""Below the queue of either, with a trace on top: what does not fit would be dropped."""

Trace = list[Observation]
"""All observations of one trace, its root first where there is one."""
Make = Callable[[], None]
"""Creates the observations of one trace."""
Client = tuple[Callable[[Trace], Make], Callable[[], None]]
"""How one trace is prepared, and how all is flushed."""


def with_langfuse(url: str) -> Client:
    """The Langfuse SDK: what a trace's observations share is told once for each trace."""
    from langfuse import Langfuse, propagate_attributes  # noqa: PLC0415 - one of two is measured

    client = Langfuse(public_key="pk-lf-b", secret_key="sk-lf-b", base_url=url)  # noqa: S106

    def prepare(trace: Trace) -> Make:
        root, *others = map(_arguments, trace)
        shared = _shared(trace[0])

        def make() -> None:
            with propagate_attributes(**shared):
                above = client.start_observation(**root)
                for told in others:
                    above.start_observation(**told).end()
                above.end()

        return make

    return prepare, client.flush


def with_opentelemetry(url: str) -> Client:
    """The OpenTelemetry SDK and its OTLP exporter: each span has all attributes of the bridge's."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{url}/api/public/otel/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("benchmark")

    def prepare(trace: Trace) -> Make:
        root, *others = [(each.name, _attributes(each)) for each in trace]

        def make() -> None:
            above = tracer.start_span(root[0], attributes=root[1])
            context = set_span_in_context(above)
            for name, attributes in others:
                tracer.start_span(name, context, attributes=attributes).end()
            above.end()

        return make

    def flush() -> None:
        provider.force_flush()

    return prepare, flush


CLIENTS: Mapping[str, Callable[[str], Client]] = {
    "langfuse": with_langfuse,
    "opentelemetry": with_opentelemetry,
}


def traces(path: Path) -> list[Trace]:
    """What the bridge makes of a corpus."""
    pipeline = Pipeline()
    found: dict[str, Trace] = {}
    for step in steps(path):
        for each in pipeline.observations(pipeline.decode(step)):
            found.setdefault(each.trace_id, []).append(each)
    return [sorted(trace, key=lambda each: each.parent_id is not None) for trace in found.values()]


def _arguments(told: Observation) -> dict[str, Any]:
    """An observation as the Langfuse SDK takes it."""
    arguments: dict[str, Any] = {
        "name": told.name,
        "as_type": told.kind.value,
        "level": told.level.value,
        "status_message": told.status_message,
        "input": told.input,
        "output": told.output,
        "metadata": told.metadata,
    }
    if told.kind is ObservationKind.GENERATION:
        arguments |= {
            "model": told.model,
            "model_parameters": told.model_parameters,
            "usage_details": told.usage,
            "cost_details": {"total": (told.cost_picousd or 0) / PICO_PER_USD},
        }
    return arguments


def _shared(told: Observation) -> dict[str, Any]:
    """What all observations of a trace say of it, as the Langfuse SDK takes it."""
    facts = told.trace
    return {
        "trace_name": facts.name,
        "session_id": facts.session_id,
        "user_id": facts.user_id,
        "tags": list(facts.tags),
        "version": facts.version,
        "metadata": facts.metadata,
    }


def _attributes(told: Observation) -> dict[str, Any]:
    """All attributes of the span that the bridge makes of an observation."""
    return proto_attributes(Span.FromString(encode_span(told)).attributes)


def main(client: str, url: str, path: Path) -> None:
    """Prepare, create, flush, print."""
    prepare, flush = CLIENTS[client](url)
    found = traces(path)
    first, *makes = [(prepare(trace), len(trace)) for trace in found]
    gc.freeze()  # what lives on is the benchmark's, not the SDK's
    _create([first], flush)  # imports what only sending needs, and opens the connection
    began_s = time.process_time()
    _create(makes, flush)
    print(time.process_time() - began_s, flush=True)


def _create(makes: Iterable[tuple[Make, int]], flush: Callable[[], None]) -> None:
    """Create these and send them; ``makes`` also tells how many each creates."""
    unsent = 0
    for make, observations in makes:
        make()
        unsent += observations
        if unsent >= FLUSH_AFTER:
            flush()
            unsent = 0
    flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
