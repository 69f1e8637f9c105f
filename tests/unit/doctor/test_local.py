from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from bridge.config import Config
from bridge.doctor import local
from bridge.doctor.subject import Subject
from bridge.model.findings import Finding, State
from bridge.model.tokens import Token, digest_of
from bridge.store.inbox import Inbox
from tests.certificates import issue

A_TOKEN = Token(name="ada", digest=digest_of("lfb_abc"))


def subject(tokens: tuple[Token, ...] | None = None, **settings: object) -> Subject:
    config = Config(**settings)  # type: ignore[arg-type]  # values of any type are what it checks
    return Subject(config=config, tokens=tokens, layers=[], environ={})


def states(found: list[Finding]) -> Mapping[str, State]:
    return {each.name: each.state for each in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    inbox = Inbox(folder / "inbox.db")
    inbox.open()
    inbox.close()
    return folder


def test_a_folder_that_is_not_there_yet_is_well(tmp_path: Path) -> None:
    (found,) = local.store(subject(data_dir=tmp_path / "none"))
    assert found.state is State.OK


def test_a_folder_with_sound_files_is_well(folder: Path) -> None:
    found = list(local.store(subject(data_dir=folder)))
    assert {each.state for each in found if each.name == "store"} == {State.OK}
    assert [each for each in found if each.text.startswith("inbox.db")]


def test_a_folder_that_others_may_enter_is_a_warning(folder: Path) -> None:
    folder.chmod(0o755)
    (found,) = [f for f in local.store(subject(data_dir=folder)) if f.state is State.WARNING]
    assert "mode 755" in found.text
    assert found.remedy == f"chmod 700 {folder}"


def test_a_damaged_file_fails(folder: Path) -> None:
    (folder / "ledger.db").write_bytes(b"no database" * 100)
    (found,) = [f for f in local.store(subject(data_dir=folder)) if f.state is State.FAILED]
    assert "ledger.db is damaged" in found.text


@pytest.mark.parametrize(
    ("free_mb", "state"), [(2_000, State.OK), (500, State.WARNING), (50, State.FAILED)]
)
def test_a_disk_that_fills_up_is_told_in_time(
    free_mb: int, state: State, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=free_mb * 1_000_000)
    monkeypatch.setattr(local.shutil, "disk_usage", lambda _path: usage)
    assert states(list(local.store(subject(data_dir=folder))))["disk"] is state


def test_a_certificate_that_can_be_used_is_well(tmp_path: Path) -> None:
    files = issue(tmp_path / "tls", trustme.CA())
    found = list(local.tls(subject(tls_cert=files.cert, tls_key=files.key, ca_file=files.ca)))
    assert [each.state for each in found] == [State.OK, State.OK]


def test_a_key_of_another_certificate_fails_and_says_what_to_set(tmp_path: Path) -> None:
    one, other = (issue(tmp_path / name, trustme.CA()) for name in "ab")
    (found,) = local.tls(subject(tls_cert=one.cert, tls_key=other.key))
    assert (found.state, "BRIDGE_TLS_KEY" in found.remedy) == (State.FAILED, True)


def test_an_authority_that_is_none_fails(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    (found,) = local.tls(subject(ca_file=path))
    assert "BRIDGE_CA_FILE" in found.remedy


@pytest.mark.parametrize(
    ("tokens", "settings", "state"),
    [
        (None, {}, State.OK),
        ((A_TOKEN,), {"host": "0.0.0.0"}, State.OK),  # noqa: S104  only looked at
        (None, {"host": "0.0.0.0"}, State.FAILED),  # noqa: S104
        (None, {"host": "0.0.0.0", "insecure_bind": True}, State.WARNING),  # noqa: S104
    ],
    ids=["loopback", "tokens", "open", "open on purpose"],
)
def test_who_may_send_is_told(
    tokens: tuple[Token, ...] | None, settings: dict[str, object], state: State
) -> None:
    (found,) = local.tokens(subject(tokens, **settings))
    assert (found.state, bool(found.remedy)) == (state, state is not State.OK)
