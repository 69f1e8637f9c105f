"""What the bridge says of itself. ``logging`` sets up the one way every process logs.

Logs hold names, sizes, counts and reasons; never what people or agents wrote, and never keys.
"""
