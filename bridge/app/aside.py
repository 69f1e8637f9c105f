"""Records that cannot be taken in → rows for quarantine, with all that another attempt needs."""

from collections.abc import Mapping

import msgspec

from bridge.decode.apart import single_records
from bridge.errors import UndecodableError
from bridge.model.packing import pack
from bridge.model.parts import Settled
from bridge.model.requests import InboxEntry, Progress
from bridge.store.step import Quarantined

MAX_SINGLES = 100
"""How many records of one request are put into quarantine one by one."""


class SettingAside:
    """Makes rows for quarantine; without bytes where the content policy keeps none."""

    def __init__(self, *, keeps_content: bool) -> None:
        self._keeps_content = keeps_content

    def whole(self, entry: InboxEntry, reason: str, progress: Progress) -> Quarantined:
        """A request, byte for byte, of which what was assembled before counts no more."""
        return Quarantined(
            position=entry.position,
            record_index=None,
            records=entry.request.records - progress.records,
            reason=reason,
            body=self._bytes(entry.request),
            signal=entry.request.signal,
        )

    def singles(self, entry: InboxEntry, reasons: Mapping[int, str]) -> list[Quarantined]:
        """Records of a request by their places in it, each as a request of its own.

        Very many of one request stay together in it, so that its resource is not kept once for
        each, and so does what cannot be written again; the others in it are recognised as
        repetitions when it is tried again.
        """
        if len(reasons) > MAX_SINGLES:
            return [self._together(entry, reasons)]
        bodies = dict.fromkeys(reasons, b"")
        if reasons and self._keeps_content:
            try:
                found = [pack(single) for single in single_records(entry.request, reasons)]
            except UndecodableError:
                return [self._together(entry, reasons)]
            bodies |= zip(sorted(reasons), found, strict=True)
        return [
            Quarantined(
                position=entry.position,
                record_index=place,
                records=1,
                reason=reason,
                body=bodies[place],
                signal=entry.request.signal,
            )
            for place, reason in reasons.items()
        ]

    def _together(self, entry: InboxEntry, reasons: Mapping[int, str]) -> Quarantined:
        reason = f"{next(iter(reasons.values()))}; kept with the rest of its request"
        return msgspec.structs.replace(self.whole(entry, reason, Progress()), records=len(reasons))

    def part(self, settled: Settled, position: int, reason: str) -> Quarantined:
        """A part of a trace that no observation could be made of."""
        return Quarantined(
            position=position,
            record_index=None,
            records=settled.observed + settled.folded,
            reason=reason,
            body=self._bytes(settled),
        )

    def _bytes(self, kept: msgspec.Struct) -> bytes:
        return pack(kept) if self._keeps_content else b""


def reason_of(error: Exception) -> str:
    """Why records could not be taken in, without quoting them: reasons are logged and listed."""
    return f"the bridge failed on it ({type(error).__name__}), as its log tells"
