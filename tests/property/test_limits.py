"""Deciding that nothing comes near a limit gives what clamping everything gives."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.langfuse import limits
from bridge.model.observations import Level, MetadataValue, Observation, ObservationKind, TraceFacts
from tests.property.examples import few

AROUND = (0, 999, 1_000, 1_001, 12_500, 12_501, 250_000, 250_001)
WHOLE = 2**53

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(AROUND).map(lambda size: "ü" * size),
    st.sampled_from(["a\0b", "\n", "x" * 200, "x" * 201]),
)
keys = st.one_of(st.sampled_from(["a", "a.constructor", "", "b\n", "k" * 201]), st.text(max_size=3))
scalars = st.one_of(
    texts, st.booleans(), st.floats(), st.sampled_from([WHOLE, WHOLE - 1, 1 - WHOLE, -WHOLE])
)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.just(["x"] * 600))
metadata = st.one_of(
    st.dictionaries(keys, values, max_size=6),
    st.integers(38, 42).map(lambda size: {f"k{number}": number for number in range(size)}),
)
observations = st.builds(
    Observation,
    trace_id=st.just("0" * 32),
    id=st.just("1" * 16),
    parent_id=st.none(),
    kind=st.sampled_from(ObservationKind),
    name=texts,
    start_ms=st.just(1),
    end_ms=st.just(2),
    trace=st.just(
        TraceFacts(
            name="claude-code",
            session_id=None,
            user_id=None,
            tags=(),
            metadata={},
            version=None,
            release=None,
            environment=None,
            service_name="claude-code",
            service_version=None,
        )
    ),
    level=st.sampled_from(Level),
    status_message=st.one_of(st.none(), texts),
    input=st.one_of(st.none(), texts),
    output=st.one_of(st.none(), texts),
    model=st.one_of(st.none(), texts),
    usage=st.one_of(
        st.none(), st.dictionaries(texts, st.sampled_from([0, WHOLE - 1, WHOLE]), max_size=3)
    ),
    metadata=metadata,
)


@few(400)
@given(observations)
def test_an_observation_is_clamped_as_if_all_of_it_were_measured(observation: Observation) -> None:
    assert repr(limits.within_limits(observation)) == repr(limits.clamped(observation))


@few(400)
@given(metadata)
def test_metadata_is_clamped_as_if_all_of_it_were_measured(
    told: dict[str, MetadataValue],
) -> None:
    assert repr(limits.clamped_metadata(told)) == repr(limits.measured_metadata(told))
