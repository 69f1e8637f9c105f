"""The composition root: the only place that knows all stages, and joins them.

::

    supervisor   the process `langfuse-bridge run` starts: listens, keeps two children alive
    ├── receiver     bytes in: check, commit, answer
    └── worker       assembler (inbox → ledger) and deliverer (ledger → Langfuse)

``senders`` knows the tokens in force; ``child`` is what the two children share; ``reading`` is for
commands that only look.
"""

from bridge.app.demo import demo
from bridge.app.supervisor import run

__all__ = ["demo", "run"]
