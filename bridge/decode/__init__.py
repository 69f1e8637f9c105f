"""Bytes → records.

``envelope``     the way down from a request to its items, the same for all signals
``otlp``         the two encodings of an export request, read alike
``layouts``      log records' attributes, read with what the records before have taught
``picking``      values taken out of a sequence by their places
``senders``      who log records are from, made once for as long as they come
``attributes``   lenient reading of attribute values
``claude_code``  Claude Code's names → our events: the one folder that knows them
``content``      what text may go further than the decode step

Another coding agent is one more folder beside ``claude_code``, chosen by scope name in ``records``.
"""
