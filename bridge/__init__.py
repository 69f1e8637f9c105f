"""The bridge: OpenTelemetry of coding agents in, Langfuse traces out.

The folders are the way of the data: ``receive`` → ``store`` → ``decode`` → ``correlate`` →
``langfuse``. Stages never import one another; ``app`` joins them. ``model`` holds the words they
share. ARCHITECTURE.md tells the rest.
"""

__version__ = "0.1.0"
