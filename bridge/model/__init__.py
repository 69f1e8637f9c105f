"""The vocabulary every stage shares; imports nothing of ours.

``requests``     what a client posted (receive → store → decode)
``events``       what a coding agent did, in no vendor's words (decode → correlate)
``observations`` what Langfuse is told (correlate → langfuse → store)
``delivery``     how an attempt to tell it ended (langfuse → store)
``outcomes``     the named endings of a record, each a counter
``views``        what a person reads (store → terminal)
"""
