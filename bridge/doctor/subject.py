"""What is examined: the settings in force and where Claude Code would be started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.client.layers import Layer
from bridge.config import Config
from bridge.langfuse.client import LangfuseTarget
from bridge.model.tokens import Token

LANGFUSE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Made by ``cli``, read by every check.

    Attributes:
        tokens: Those in force; None where nobody needs one.
        layers: Claude Code's settings, the layer that wins last.
        environ: The environment that ``claude`` would be started with.
    """

    config: Config
    tokens: Sequence[Token] | None
    layers: Sequence[Layer]
    environ: Mapping[str, str]

    @property
    def target(self) -> LangfuseTarget | None:
        """Langfuse, asked with less patience than a delivery has; None without keys."""
        public, secret = self.config.langfuse_public_key, self.config.langfuse_secret_key
        if public is None or secret is None:
            return None
        return LangfuseTarget(
            base_url=self.config.langfuse_base_url,
            public_key=public,
            secret_key=secret.get_secret_value(),
            ca_file=self.config.ca_file,
            timeout_s=LANGFUSE_TIMEOUT_S,
            connect_timeout_s=LANGFUSE_TIMEOUT_S,
        )

    @property
    def ledger(self) -> Path:
        """The file that tells what was seen."""
        return self.config.ledger_path
