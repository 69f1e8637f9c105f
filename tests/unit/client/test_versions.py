from pathlib import Path

import pytest

from bridge.client.versions import DEFECTS, NEWEST_TRIED, defects_of, findings, version_of
from bridge.model.findings import State


def a_claude(folder: Path, script: str) -> dict[str, str]:
    """An environment in which ``claude`` runs this script."""
    path = folder / "claude"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:/bin:/usr/bin"}


def test_the_version_is_what_the_command_says() -> None:
    assert version_of("2.1.330 (Claude Code)\n") == (2, 1, 330)
    assert version_of("no version") is None


def test_the_newest_version_that_was_tried_has_no_known_defect(tmp_path: Path) -> None:
    (found,) = findings(a_claude(tmp_path, "echo '2.1.330 (Claude Code)'"))
    assert (found.state, found.text) == (State.OK, f"2.1.330 ({tmp_path / 'claude'})")


def test_a_newer_one_is_well_and_said_to_be_newer(tmp_path: Path) -> None:
    (found,) = findings(a_claude(tmp_path, "echo 2.2.0"))
    assert found.state is State.OK
    assert "newer than 2.1.330" in found.text


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ((1, 0, 60), "sequence"),
        ((2, 1, 45), "prompt.id"),
        ((2, 1, 98), "no id"),
        ((2, 1, 110), "query_source, no tool_use_id"),
        ((2, 1, 126), "cost_usd"),
        ((2, 1, 128), "query_source (reported)"),
        ((2, 1, 142), "name no trace"),
        ((2, 1, 183), "answers"),
        ((2, 1, 308), "sub-agent"),
    ],
)
def test_each_version_has_its_known_defects(version: tuple[int, int, int], words: str) -> None:
    assert [defect for defect in defects_of(version) if words in defect.text]


def test_every_known_defect_ended_with_the_version_that_was_tried() -> None:
    assert all(defect.first < defect.fixed <= NEWEST_TRIED for defect in DEFECTS)


def test_defects_are_warnings_with_a_remedy(tmp_path: Path) -> None:
    _, *found = findings(a_claude(tmp_path, "echo 2.1.45"))
    assert len(found) == len(defects_of((2, 1, 45)))
    assert all(each.state is State.WARNING and each.remedy for each in found)


def test_no_claude_is_a_warning(tmp_path: Path) -> None:
    (found,) = findings({"PATH": str(tmp_path)})
    assert found.state is State.WARNING


@pytest.mark.parametrize("script", ["exit 1", "echo what"])
def test_one_that_does_not_tell_its_version_fails(script: str, tmp_path: Path) -> None:
    (found,) = findings(a_claude(tmp_path, script))
    assert found.state is State.FAILED
