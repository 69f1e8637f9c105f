"""Sums over events; adding is commutative, so order does not matter."""

import msgspec

from bridge.model.events import ModelFailure, ModelRequest, ToolDecision, ToolResult


class Totals(msgspec.Struct, kw_only=True, array_like=True):
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
        return msgspec.structs.replace(self, usage=dict(self.usage), models=list(self.models))

    def add(self, event: object) -> None:
        """Count one event in; events without numbers change nothing."""
        match event:
            case ModelRequest():
                self._add_request(event)
            case ModelFailure():
                self.failures += 1
            case ToolResult():
                self.tools += 1
                self.tool_errors += not event.success
            case ToolDecision(accepted=False):
                self.rejections += 1
            case _:
                pass

    def _add_request(self, request: ModelRequest) -> None:
        self.requests += 1
        self.unpriced += request.cost_picousd is None
        self.cost_picousd += request.cost_picousd or 0
        for key, tokens in request.usage.items():
            self.usage[key] = self.usage.get(key, 0) + tokens
        if request.model not in self.models:
            self.models = sorted([*self.models, request.model])
