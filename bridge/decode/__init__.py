"""Bytes → records.

A log record is read in four steps, each in a folder or module of its own::

    bytes    otlp          request → resource → scope → record, in either encoding
      │                    ──► RawLog: a head, a pattern, values
    fields   layouts       who it is from (Head), and how its own attributes stand (layout):
      │                    what is the same as in records before is looked up, not read
      │      patterns      their names, and those of their values that come again (Pattern)
    values   claude_code   Sender, of a head:   session, origin, the beginning of its row
      │                    Shape, of a pattern: where in a row each value stands that is wanted
    event    claude_code   Kind, by the event's name: which attributes are wanted, and who
                           builds the event of them

What an attribute *means* is said in ``claude_code.events`` alone, beside the names that
``claude_code.names`` lists; all before it is about reading fast, and knows of no name but
``event.name``. What is remembered changes nothing that is told: it is all thrown away when it
becomes too much, and property tests hold it against reading each attribute by itself.

``records``      the steps joined, for all three signals; what cannot be read is set aside alone
``envelope``     the way down from a request to its items, the same for all signals
``otlp_spans``   spans, ``otlp_metrics`` metric points, ``foreign`` other programs' spans
``picking``      values taken out of a sequence by their places
``senders``      who log records are from, made once for as long as they come
``origins``      who that is to others: user, tags, program
``attributes``   lenient reading of attribute values
``moments``      which times can be true
``privacy``      no persons (``identity``), no secrets (``redaction``), before anything is decoded
``content``      what text may go further than the decode step
``apart``        single records as requests of their own, for the quarantine

Another coding agent is one more folder beside ``claude_code``, chosen by scope name in ``records``.
"""
