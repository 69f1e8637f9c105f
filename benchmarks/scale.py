"""How much ``make bench`` and ``make bench-quick`` measure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured.

    Attributes:
        counted: Records of the two corpora for counting instructions. The small one is large enough
            for the 200 sessions in it to have begun, which costs other than going on.
        records: Of one load.
        small, large: Records of the loads that are compared for growth; the memory of the large
            one is compared with that of one of ``middle`` records.
        paced_s: How long answers are timed.
    """

    rounds: int
    counted: tuple[int, int]
    records: int
    small: int
    middle: int
    large: int
    backlog: int
    open_sessions: int
    paced_s: int
    deliveries: int
    starts: int


FULL = Scale(
    rounds=3,
    counted=(4_000, 12_000),
    records=30_000,
    small=10_000,
    middle=100_000,
    large=1_000_000,
    backlog=1_000_000,
    open_sessions=10_000,
    paced_s=15,
    deliveries=15,
    starts=7,
)
QUICK = Scale(
    rounds=1,
    counted=(1_000, 2_500),
    records=8_000,
    small=5_000,
    middle=10_000,
    large=50_000,
    backlog=10_000,
    open_sessions=2_000,
    paced_s=4,
    deliveries=5,
    starts=3,
)
