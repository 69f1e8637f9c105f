"""``langfuse-bridge doctor``: from Claude Code's settings to Langfuse, what works and what not.

``local``     configuration, store, ports, TLS, tokens
``running``   the bridge that runs, and what it has seen last
``langfuse``  the server, its version, the keys' project, what can be read back
``sending``   one made-up turn through all of it, read back and removed (``--send``)
``checks``    which checks there are, in which order

A check is a function of a ``Subject`` that gives findings; it changes nothing, and whatever it
meets is a finding. What concerns Claude Code alone is in ``bridge/client``, how it is shown in
``bridge/terminal``.
"""
