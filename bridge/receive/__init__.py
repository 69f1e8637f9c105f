"""Bytes in: what a client posts is checked, committed and answered; nothing else happens here.

::

    POST ─► http ─► request: which signal, which encoding     ─► refused  4xx
               │    records: is it one, with how many records
               └──► intake ─► one commit for all that wait    ─► accepted 200
                    ▲                                         ─► unavailable 503, Retry-After
    call ─► grpc ───┘ records, likewise; with codes in place of statuses

It is a process of its own, because whatever else ran in its loop would make clients wait, and a
client that waits loses what it has not sent yet when it ends.
"""
