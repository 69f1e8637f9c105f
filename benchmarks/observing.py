"""What an observation costs with the SDKs that people use otherwise: for gate 5.

Run as a program with the name of a client, the sink's URL and a number, it creates so many
observations of thirteen attributes, flushes, and prints the CPU seconds of that. Importing and
setting up is not counted; bodies are compressed or not as each does by default.
"""

import os
import sys
import time
from collections.abc import Callable

FLUSH_AFTER = 1_000
"""Below the queue of either: what does not fit would be dropped."""
USAGE = {"input": 310, "output": 120, "input_cached_tokens": 9_000, "total": 9_430}
COST = {"total": 0.0123}
METADATA = {"department": "dept-3", "speed": "normal", "duration_ms": "4200", "attempt": "1"}
MODEL = "claude-sonnet-4-6"
ATTRIBUTES = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.level": "DEFAULT",
    "langfuse.observation.model.name": MODEL,
    "langfuse.observation.usage_details": str(USAGE),
    "langfuse.observation.cost_details": str(COST),
    "langfuse.observation.input": "What is in this folder?",
    "langfuse.observation.output": "Two files.",
    "langfuse.version": "2.1.40",
    "langfuse.trace.name": "claude-code prompt",
    **{f"langfuse.observation.metadata.{key}": value for key, value in METADATA.items()},
}


def with_langfuse(url: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """How the Langfuse SDK makes one observation, and how it flushes."""
    from langfuse import Langfuse  # noqa: PLC0415 - only one of the two is measured

    client = Langfuse(public_key="pk-lf-b", secret_key="sk-lf-b", base_url=url)  # noqa: S106

    def make() -> None:
        client.start_observation(
            name="request",
            as_type="generation",
            model=MODEL,
            input="What is in this folder?",
            output="Two files.",
            version="2.1.40",
            level="DEFAULT",
            usage_details=USAGE,
            cost_details=COST,
            metadata=METADATA,
        ).end()

    return make, client.flush


def with_opentelemetry(url: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same with the OpenTelemetry SDK and its OTLP exporter."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{url}/api/public/otel/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("benchmark")

    def make() -> None:
        tracer.start_span("request", attributes=ATTRIBUTES).end()

    def flush() -> None:
        provider.force_flush()

    return make, flush


CLIENTS = {"langfuse": with_langfuse, "opentelemetry": with_opentelemetry}


def main(client: str, url: str, count: int) -> None:
    """Create, flush, print."""
    os.environ["LANGFUSE_TRACING_ENVIRONMENT"] = "benchmark"
    make, flush = CLIENTS[client](url)
    make()
    flush()
    began_s = time.process_time()
    for number in range(count):
        make()
        if number % FLUSH_AFTER == FLUSH_AFTER - 1:
            flush()
    flush()
    print(time.process_time() - began_s, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
