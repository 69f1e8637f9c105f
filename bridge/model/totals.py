"""Sums over events; adding is commutative, so order does not matter."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bridge.model.events import ModelFailure, ModelRequest, ToolDecision, ToolResult


def add_tokens(usage: dict[str, int], more: Mapping[str, int]) -> None:
    """Add tokens to what was used before, by usage key."""
    if not usage:
        usage.update(more)
        return
    for key, tokens in more.items():
        if key in usage:  # nearly always, and a call of get() costs more than asking
            usage[key] += tokens
        else:
            usage[key] = tokens


class Totals(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """Sums over a turn, a sub-agent or a session.

    Attributes:
        unpriced: Requests whose cost the client did not say.
        usage: Langfuse usage key → tokens.
    """

    requests: int = 0
    failures: int = 0
    tools: int = 0
    tool_errors: int = 0
    rejections: int = 0
    agents: int = 0
    cost_picousd: int = 0
    unpriced: int = 0
    usage: dict[str, int] = {}
    models: list[str] = []

    def copy(self) -> "Totals":
        """The sums as they are now, which later events do not change."""
        copied: Totals = self.__copy__()  # type: ignore[attr-defined]  # untold by the stubs
        copied.usage, copied.models = self.usage.copy(), self.models.copy()
        return copied

    def add(self, event: object) -> None:
        """Count one event in; events without numbers change nothing."""
        count_in = _ADDED.get(type(event))
        if count_in is not None:
            count_in(self, event)

    def add_request(self, request: ModelRequest) -> None:
        """Count a request that succeeded."""
        self.requests += 1
        if request.cost_picousd is None:
            self.unpriced += 1
        else:
            self.cost_picousd += request.cost_picousd
        add_tokens(self.usage, request.usage)
        if request.model not in self.models:
            self.models = sorted([*self.models, request.model])

    def add_failure(self, _failure: ModelFailure) -> None:
        """Count a request that failed."""
        self.failures += 1

    def add_result(self, result: ToolResult) -> None:
        """Count a tool that has run."""
        self.tools += 1
        if not result.success:
            self.tool_errors += 1

    def add_decision(self, decision: ToolDecision) -> None:
        """Count a tool that may not run."""
        if not decision.accepted:
            self.rejections += 1


_ADDED: Mapping[type, Callable[[Totals, Any], None]] = {
    ModelRequest: Totals.add_request,
    ModelFailure: Totals.add_failure,
    ToolResult: Totals.add_result,
    ToolDecision: Totals.add_decision,
}
