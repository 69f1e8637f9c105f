"""Shared by all tests: an environment that nobody's shell, keys or state folder reaches into."""

import os
import tempfile
import time

MANAGER = ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_")
SCRUBBED = ("BRIDGE_", "LANGFUSE_", "OTEL_", *MANAGER)
TERMINAL = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")

for name in list(os.environ):
    if name.startswith(SCRUBBED) or name in TERMINAL:
        del os.environ[name]
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="langfuse-bridge-tests-")
os.environ["TZ"] = "UTC"  # local times are part of what the terminal tests compare
time.tzset()
