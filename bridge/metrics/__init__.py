"""Numbers for Prometheus: what is counted of the telemetry itself, and how numbers are shown.

::

    settled parts, records ─► usage, unknown ─► counted (a series → by how much) ─► ledger
    receiver's and worker's times ─► spread: buckets ─┐
    health, ledger's series, lags ────────────────────┴► exposition: text, by ``families``

Leaves to others: where numbers are kept (``store``), when they are read (``app``), who may see
them (``receive``).
"""
