"""Who may send to this bridge, from settings and tokens file, and where it may listen therefore.

Responsible for: the tokens in force at any moment, and that a bridge without any is reached from
its own machine only. Left to others: the file (``store.token_file``), deciding about a request
(``receive.access``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bridge.errors import ConfigError, StoreError
from bridge.model.tokens import Token, TokenError, distinct
from bridge.receive.origin import is_loopback
from bridge.store.token_file import TokenFile

if TYPE_CHECKING:
    from bridge.config import Config, Tag

log = structlog.get_logger(__name__)


class Senders:
    """The tokens in force: those of the settings, and those of the file as it is now.

    Attributes:
        tokens: None where nobody needs one.

    Raises:
        StoreError: When made, if there is no telling who may send.
    """

    def __init__(self, config: "Config") -> None:
        self._of_settings = config.tokens
        self._tags = config.tags
        self._path = config.tokens_path
        self._file = TokenFile(self._path)
        self._trouble = ""
        self.tokens: tuple[Token, ...] | None = config.tokens or None
        if not self._read() and config.tokens_file is not None:
            advice = "`langfuse-bridge token new NAME` makes it"
            raise StoreError(f"{self._path}: there is no such file; {advice}")

    def renew(self) -> bool:
        """Look whether the file changed; true when other tokens are in force now.

        A file that is gone or wrong changes nothing: who could send still can. Blocks.
        """
        try:
            renewed = self._read()
        except StoreError as error:
            self._warn(str(error))
            return False
        self._trouble = ""
        return renewed

    def _read(self) -> bool:
        of_file = self._file.changed()
        if of_file is None:
            return False
        try:
            known = distinct((*self._of_settings, *of_file))
        except TokenError as error:
            raise StoreError(f"{self._path}, together with BRIDGE_TOKENS: {error}") from error
        self.tokens = tuple(replace(each, fixed=by_tag(each.fixed, self._tags)) for each in known)
        return True

    def _warn(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning(
                "tokens.not_reloaded", reason=trouble, still_in_force=len(self.tokens or ())
            )
        self._trouble = trouble


def by_tag(fixed: Mapping[str, str], tags: Sequence["Tag"]) -> dict[str, str]:
    """What is fixed by a tag's name or its attribute is fixed by both.

    Otherwise ``team=x`` would leave the tag ``team`` to a client's ``team.id``.
    """
    both: dict[str, str] = {}
    for tag in tags:
        value = fixed.get(tag.attribute, fixed.get(tag.key))
        if value is not None:
            both |= {tag.attribute: value, tag.key: value}
    return dict(fixed) | both


def checked(config: "Config") -> "Config":
    """The configuration to start with, once it is safe to listen.

    A tokens file that is there now is named in it: a receiver that is started again must not take
    its absence for "nobody needs a token".

    Raises:
        ConfigError: It would listen for everybody, and nobody needs a token.
        StoreError: The tokens file cannot be used.
    """
    tokens = Senders(config).tokens
    problem = bind_problem(config, has_tokens=tokens is not None)
    if problem and not config.insecure_bind:
        raise ConfigError([problem])
    if problem:
        log.warning(
            "bridge.open_to_all", host=config.host, reason="BRIDGE_INSECURE_BIND, no tokens"
        )
    named = config.tokens_path if config.tokens_path.exists() else None
    return config.model_copy(update={"tokens_file": named})


def bind_problem(config: "Config", *, has_tokens: bool) -> str | None:
    """What is wrong with listening on that host, if anything."""
    if has_tokens or config.tls_client_ca or is_loopback(config.host):
        return None
    return (
        f"host: on {config.host} anyone who reaches this machine could send, since there are no"
        " tokens; make one with `langfuse-bridge token new NAME` or set BRIDGE_TOKENS, ask clients"
        " for a certificate with BRIDGE_TLS_CLIENT_CA, listen on 127.0.0.1, or set"
        " BRIDGE_INSECURE_BIND=true if something else keeps strangers out, as a container's"
        " published port on 127.0.0.1 does"
    )
