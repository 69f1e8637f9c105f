"""The vocabulary every stage shares; imports nothing of ours.

Structs that are made for every record are left out of the cyclic garbage collector (``gc=False``):
they hold values and containers of values, never what holds them, so it would look for nothing.

``requests``     what a client posted (receive → store → decode)
``events``       what a coding agent did, in no vendor's words (decode → correlate)
``observations`` what Langfuse is told (correlate → langfuse → store)
``delivery``     how an attempt to tell it ended (langfuse → store)
``outcomes``     the named endings of a record, each a counter
``views``        what a person reads (store → terminal)
"""
