"""The failures that cross a stage's border.

Three questions decide what to do with one: will trying again help, was it us or them, and are we
shutting down?
"""


class BridgeError(Exception):
    """Base of all failures the bridge names; its text is for a person: what happened, what now."""


class ConfigError(BridgeError):
    """The configuration cannot be used. ``problems`` has one sentence for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class IntakeUnavailableError(BridgeError):
    """A request could not be committed now; the client should come again later."""

    def __init__(self, reason: str, retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class UndecodableError(BridgeError):
    """Bytes that are not what they claim to be; trying again will not help."""


class StoreError(BridgeError):
    """A store file cannot be opened or used."""


class DamagedStoreError(StoreError):
    """A store file's bytes are wrong. Waiting does not help; its owner sets it aside."""
