"""How fast the bridge is, as ratios taken in one interleaved run: ``python -m benchmarks``.

::

    loadgen     bodies as clients and gateways post them, with their truth; sends them
    corpus      those bodies, made once and read back
    yardstick   F: what parsing and writing the same bodies costs the fastest library there is
    processes   the bridge, its peers and the sink as processes; their CPU time and memory
    sink        what stands in for Langfuse
    loads       a corpus posted to one of them, and what it cost until it was delivered
    pipeline    the stages between the two files, counted in instructions
    peers       rotel, a server that only spools (``spool_only``), two SDKs (``observing``)
    gates       every figure with its gate, measured side by side
    report      the table, the JSON file, machine and noise
    flames      a flame graph of one process under load

Times of a shared machine are worth little, ratios inside one run much: whatever is compared runs
in turns, against the same sink, on the same bodies. What ``docs/PERFORMANCE.md`` says comes from
here.
"""
