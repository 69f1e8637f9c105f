from pathlib import Path

import pytest

from bridge.client import files
from bridge.client.variables import SetupError


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "settings.json"
    path.write_text("before")
    path.chmod(0o640)
    return path


def test_the_file_is_replaced_and_its_backup_is_beside_it_with_the_same_mode(path: Path) -> None:
    backup = files.write(path, "after", "before")
    assert (path.read_text(), backup.read_text()) == ("after", "before")
    assert {each.stat().st_mode & 0o777 for each in (path, backup)} == {0o640}
    assert names(path.parent) == {path.name, backup.name}


def test_undo_puts_back_what_was_there_and_the_backup_is_gone(path: Path) -> None:
    files.write(path, "after", "before")
    files.undo(path)
    assert path.read_text() == "before"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(path.parent) == {path.name}


def test_each_write_can_be_undone_in_turn(path: Path) -> None:
    files.write(path, "second", "before")
    files.write(path, "third", "second")
    files.undo(path)
    files.undo(path)
    assert path.read_text() == "before"


def test_undo_leaves_a_file_alone_that_somebody_changed_since(path: Path) -> None:
    backup = files.write(path, "after", "before")
    path.write_text("mine")
    with pytest.raises(SetupError, match=str(backup)):
        files.undo(path)
    assert (path.read_text(), backup.read_text()) == ("mine", "before")


def test_undo_without_a_backup_says_so(path: Path) -> None:
    with pytest.raises(SetupError, match="nothing to undo"):
        files.undo(path)


def test_a_new_file_is_its_users_alone_and_undo_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    files.write(path, "after", files.read_text(path))
    assert path.stat().st_mode & 0o777 == 0o600
    files.undo(path)
    assert names(path.parent) == set()


def test_a_link_stays_a_link(path: Path) -> None:
    link = path.with_name("link.json")
    link.symlink_to(path)
    files.write(link, "after", "before")
    assert link.is_symlink()
    assert path.read_text() == "after"
    files.undo(link)
    assert path.read_text() == "before"


def test_a_file_that_changed_since_it_was_read_is_left_alone(path: Path) -> None:
    with pytest.raises(SetupError, match="changed just now"):
        files.write(path, "after", "something else")
    assert path.read_text() == "before"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot write"):
        files.write(tmp_path / "file" / "settings.json", "after", None)
