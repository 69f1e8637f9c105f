"""The composition root: the only place that knows all stages, and joins them.

::

    supervisor   the process `langfuse-bridge run` starts: listens, keeps two children alive
    ├── receiver     bytes in: check, commit, answer
    └── worker       assembler (inbox → ledger) and deliverer (ledger → Langfuse)

``senders`` knows the tokens in force; ``child`` is what the two children share, ``lean`` keeps all
three small, and ``handed`` is the configuration as they get it; ``reading`` is for commands that
only look.
Nothing is imported here: it would be paid for in each of the three.
"""
