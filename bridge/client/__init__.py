"""Claude Code on this machine: what it is told by its settings, and what its version exports.

``variables`` the environment that sends telemetry to a bridge, as pure values
``merging``   a settings file's text with that environment in it, and the difference
``layers``    the settings files that count, in order, and what is in force together
``files``     replacing a settings file as a whole, with a backup, and taking that back
``exports``   from which environment nothing, or not all, would be exported, and why
``versions``  finding ``claude``, and what is known of its versions' exports

Claude Code's record and attribute names are in ``bridge/decode/claude_code``; here are only the
names of its settings.
"""
