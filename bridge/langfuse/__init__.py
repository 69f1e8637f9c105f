"""Finished observations → Langfuse.

``mapping``         a settled part → one observation, by the rules of Langfuse's v4 data model
``trace``           what every span of a trace repeats: user, session, tags
``summary``         the card and the counters of a session's summary
``session_scores``  a session's totals and a prompt's cost → scores
``ids``             identities: functions of the records alone
``wire``            observation ↔ OTLP span bytes; a span is encoded once and kept
``exporting``       encoded spans → one export
``client``          one HTTP attempt
``retry``           what an attempt's end means, pure
``trouble``         waiting it out: what both loops share
``deliver``         the loop of the spans: claim, post, decide, mark
``scores``          the loop of the scores; ``score_routes`` and ``score_configs`` beside it
"""
