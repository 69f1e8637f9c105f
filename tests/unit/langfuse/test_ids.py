"""Ids are functions of keys, of the form Langfuse wants, and never change between versions."""

from bridge.langfuse import ids


def test_ids_are_hex_of_the_lengths_langfuse_wants() -> None:
    trace = ids.trace_id("session\0prompt")

    assert (len(trace), len(ids.root_id(trace)), len(ids.observation_id(trace, "tool", "t:1"))) == (
        32,
        16,
        16,
    )
    assert int(trace, 16)
    assert trace == trace.lower()


def test_ids_of_a_released_version_stay_what_they_are() -> None:
    """Records that come again after an upgrade must give the same rows."""
    trace = ids.trace_id("session\0prompt")

    assert trace == "f5d1eff4bf04132f1870781e8cb8c588"
    assert ids.root_id(trace) == ids.observation_id(trace, "root", "")
    assert ids.observation_id(trace, "tool", "t:toolu_1") == "d1c404079d918797"


def test_kind_and_trace_tell_equal_keys_apart() -> None:
    one, other = ids.trace_id("a"), ids.trace_id("b")
    made = {
        ids.observation_id(trace, kind, key)
        for trace in (one, other)
        for kind in ("tool", "generation", "agent", "event")
        for key in ("k", "l")
    }

    assert len(made) == 16
