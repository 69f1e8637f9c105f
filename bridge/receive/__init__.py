"""Bytes in: what a client posts is checked, committed and answered; nothing else happens here.

::

    POST ─► repeats: like one before on its connection ──┐
               │ no                                      │
               ▼                                         │
            http ─► request: which signal, which encoding│    ─► refused  4xx
               │    records: is it one, with how many    │
               └──► intake ◄─────────────────────────────┘    ─► accepted 200
                    ▲  one commit for all that wait           ─► unavailable 503, Retry-After
    call ─► grpc ───┘ records, likewise; with codes in place of statuses

It is a process of its own, because whatever else ran in its loop would make clients wait, and a
client that waits loses what it has not sent yet when it ends.
"""
