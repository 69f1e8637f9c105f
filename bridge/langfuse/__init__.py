"""Finished observations → Langfuse.

``mapping``  a settled part of a turn → one observation, by the rules of Langfuse's v4 data model
``ids``      identities: functions of the records alone
``wire``     observation ↔ OTLP span bytes; a span is encoded once and kept
``client``   one HTTP attempt
``retry``    what an attempt's end means, pure
``deliver``  the loop: claim, post, decide, mark
"""
