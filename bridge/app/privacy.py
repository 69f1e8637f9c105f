"""The settings of privacy joined with what applies them: what the decoder may let through."""

from typing import TYPE_CHECKING

from bridge.decode.content import ContentPolicy
from bridge.decode.identity import Identity
from bridge.decode.privacy import Privacy
from bridge.decode.records import Decoder
from bridge.decode.redaction import Redactor
from bridge.store.user_key import kept_user_key

if TYPE_CHECKING:
    from bridge.config import Config

KEY_FILE = "user.key"


def decoder(config: "Config") -> Decoder:
    """A decoder for these settings.

    Raises:
        StoreError: There is to be a key in the data folder, and it cannot be made or read.
    """
    tags = [*(tag.attribute for tag in config.tags), *filter(None, [config.group_by])]
    return Decoder(
        policy=ContentPolicy(config.content),
        keeps_foreign=config.forward_other_spans and config.content != "metadata",
        tag_attributes=frozenset(tags),
        privacy=Privacy(_redactor(config), _identity(config)),
    )


def keeps_undecoded(config: "Config") -> bool:
    """Whether bytes that cannot be decoded may be kept: nothing in them can be masked."""
    return config.content == "full" and config.user == "plain"


def _redactor(config: "Config") -> Redactor | None:
    if config.content != "redacted":
        return None
    return Redactor(config.redact_patterns, emails=config.redact_emails)


def _identity(config: "Config") -> Identity | None:
    if config.user == "plain":
        return None
    told = config.user_key
    key = told.get_secret_value().encode() if told else kept_user_key(config.data_dir / KEY_FILE)
    return Identity(key, omits=config.user == "omit")
