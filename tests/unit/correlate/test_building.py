"""What all parts of a turn share, and what is known of those that have left."""

import pytest

from bridge.correlate import turns
from bridge.correlate.building import frozen_facts
from bridge.correlate.halves import HALVES
from bridge.correlate.saved import decode_turn, saved_turn
from bridge.correlate.state import LiveTurn
from bridge.model.events import AnyEvent, Origin, Record
from bridge.model.outcomes import Outcome
from tests.builders import T0_MS, answer_event, prompt_event, request_event


def test_the_origin_is_saved_once_and_no_later_record_changes_it() -> None:
    turn = _turn(request_event(1000))
    facts = frozen_facts(turn)
    _fold(turn, prompt_event(0), "other")
    saved = saved_turn(turn).state

    assert saved.count(b"claude-code") == 1
    assert b"other" not in saved
    assert frozen_facts(decode_turn(saved)) == facts
    assert facts.origin == _origin("claude-code")


def test_the_prompts_origin_is_the_turns_until_a_part_leaves() -> None:
    turn = _turn(request_event(1000))
    _fold(turn, prompt_event(0), "other")

    assert frozen_facts(decode_turn(saved_turn(turn).state)).origin == _origin("other")


@pytest.mark.parametrize("saved_as", ["keys", "digests", "nothing"])
def test_a_part_that_has_left_is_known_however_the_turn_was_saved(saved_as: str) -> None:
    """Turns were saved with digests of the keys before they were with the keys themselves."""
    turn, answer = _turn(prompt_event(0)), answer_event(1000)
    key, _ = HALVES[type(answer)](answer)
    turn.left = {key} if saved_as == "keys" else set()
    turn.sent = {turns.digest(key)} if saved_as == "digests" else set()
    turn = decode_turn(saved_turn(turn).state)

    outcome = turns.fold(turn, _record(answer, "claude-code"), answer.order)

    assert outcome is (None if saved_as == "nothing" else Outcome.LATE)


def _turn(event: AnyEvent) -> LiveTurn:
    turn = turns.new_turn("turn", _record(event, "claude-code"), event.order)
    _fold(turn, event, "claude-code")
    return turn


def _fold(turn: LiveTurn, event: AnyEvent, product: str) -> None:
    turns.fold(turn, _record(event, product), event.order)


def _record(event: AnyEvent, product: str) -> Record:
    return Record(event=event, origin=_origin(product), arrived_ms=T0_MS)


def _origin(product: str) -> Origin:
    return Origin(product=product, service_name="service", service_version=None, attributes={})
