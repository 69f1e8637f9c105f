"""What is kept. Two files are the system; the stages between them are functions.

::

    inbox.db   written by the receiver alone: export requests as they came, and how many records
               were ever accepted. Rows below the assembler's watermark are deleted.
    ledger.db  written by the worker alone: live turns, finished observations and whether Langfuse
               has them, record outcomes, the inbox watermark, quarantine.

Both are SQLite in WAL mode with ``synchronous=FULL``: a commit that returned is on disk. Each
process reads the other's file read-only. ``damage`` replaces a file that is no longer whole,
``room`` bounds both together.
"""
