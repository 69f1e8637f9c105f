"""Events → turns → settled parts. Pure: ``now_ms`` is an argument, nothing here does I/O.

::

    records ──► Correlator.fold ──► Conversation   which turn a record belongs to: sessions,
                                        │           homes of agents, meeting of halves
                                    LiveTurn        its open parts, its sums so far
                                        │
    now_ms ───► Correlator.due  ──► settling        parts that wait for nothing more leave
                                    closing         when the turn's root is made, and why
                                    agents          which sub-agent a part belongs to

What a record means is looked up by the kind of its event: ``halves`` what it is to its part,
``notes`` what its turn learns from it, ``sums`` what its session does.

A turn is folded as a set: facts about it come from minima, maxima and sums over its events and
from looking events up by id, never from the order of arrival. Order of arrival only decides when a
part leaves, and every part waits ``settle_s`` for what belongs to it.

The state has one owner, the assembler, hence no locks. All of it is saved in the ledger in the
same transaction as the observations it led to.
"""
