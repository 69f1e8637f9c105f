"""What a person does and reads at a terminal.

``formats``  durations, tokens, cost, times and shortened text as words
``sessions`` the table of sessions
``tree``     which observation hangs below which, and what a line says of it
``traces``   that tree drawn for a terminal, or indented when piped
``records``  the same as plain data, for ``--json``
``quarantine`` the table of what was set aside
``settings`` the settings in force, their values and where they were set
``findings`` what the doctor found, each with its remedy
``choice``   which session or trace a prefix means
``captures`` recorded export requests as files
``sending``  posting them to an endpoint
``progress`` how far that has come
``asking``   asking a bridge how it is

Rendering is pure: rows and trees from ``model.views`` go in, rich renderables or lines come out.
On a terminal there are colours and boxes; piped there are none, and no value is cut. Text from
clients is never markup, and its control characters never reach the terminal.
"""
