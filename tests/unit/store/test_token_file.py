"""The tokens file: noticed when it changes, replaced as a whole."""

import os
import stat
import threading
from pathlib import Path

import pytest

from bridge.errors import StoreError
from bridge.model.tokens import Token, digest_of, line_of
from bridge.store.token_file import HEAD, TokenFile, read, rewrite

ADA = Token(name="ada", digest=digest_of("1"), fixed={"member": "ada"})
BEN = Token(name="ben", digest=digest_of("2"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "tokens"


def put(path: Path, *tokens: Token) -> None:
    rewrite(path, lambda _: [line_of(token) for token in tokens])


def test_a_file_that_was_never_there_is_no_change(path: Path) -> None:
    assert TokenFile(path).changed() is None


def test_a_change_is_told_once(path: Path) -> None:
    file = TokenFile(path)
    put(path, ADA)
    assert file.changed() == (ADA,)
    assert file.changed() is None
    put(path, BEN)
    assert file.changed() == (BEN,)
    assert file.changed() is None


def test_a_change_in_place_of_the_same_size_is_noticed(path: Path) -> None:
    put(path, ADA)
    os.utime(path, ns=(0, 0))  # long ago: the clock of files is too coarse for a test
    file = TokenFile(path)
    file.changed()
    path.write_text(path.read_text().replace("ada ", "eva "))
    found = file.changed()
    assert found is not None
    assert [token.name for token in found] == ["eva"]


def test_a_file_that_went_away_is_an_error_until_it_is_back(path: Path) -> None:
    put(path, ADA)
    file = TokenFile(path)
    file.changed()
    path.unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match="No such file"):
            file.changed()
    put(path, BEN)
    assert file.changed() == (BEN,)


@pytest.mark.parametrize("content", [b"ada planted", b"\xff\xfe"], ids=["grammar", "encoding"])
def test_a_file_that_is_wrong_is_an_error_until_it_is_right(path: Path, content: bytes) -> None:
    put(path, ADA)
    file = TokenFile(path)
    file.changed()
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreError) as wrong:
            file.changed()
        assert "planted" not in str(wrong.value)
    path.unlink()
    put(path, BEN)
    assert file.changed() == (BEN,)


def test_a_new_file_explains_itself_and_is_its_owners_alone(path: Path) -> None:
    rewrite(path, lambda lines: [*lines, line_of(ADA)])
    assert path.read_text() == f"{HEAD}{line_of(ADA)}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {each.name for each in path.parent.iterdir()} == {"tokens", ".tokens.lock"}


def test_what_fails_leaves_the_file_as_it_was(path: Path) -> None:
    put(path, ADA)

    def fails(_: list[str]) -> list[str]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        rewrite(path, fails)
    with pytest.raises(UnicodeEncodeError):
        rewrite(path, lambda _: ["\ud800"])
    assert read(path) == (ADA,)
    assert {each.name for each in path.parent.iterdir()} == {"tokens", ".tokens.lock"}


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    put(path, ADA)
    link = tmp_path / "link"
    link.symlink_to(path)
    put(link, BEN)
    assert link.is_symlink()
    assert read(path) == (BEN,)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write .*folder/tokens: Not a directory"):
        put(tmp_path / "file" / "folder" / "tokens", ADA)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_writes_is_the_bridges(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 12345, 12346)
    put(path, ADA)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_writers_at_the_same_time_do_not_undo_one_another(path: Path) -> None:
    tokens = [Token(name=f"t{number}", digest=digest_of(str(number))) for number in range(20)]
    threads = [
        threading.Thread(target=rewrite, args=(path, lambda lines, t=token: [*lines, line_of(t)]))
        for token in tokens
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in read(path)} == {token.name for token in tokens}
