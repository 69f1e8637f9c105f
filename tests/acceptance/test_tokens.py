"""Who may send to ``langfuse-bridge run``: tokens made, used and revoked while it runs."""

import contextlib
import http.client
import json
import re
from pathlib import Path

import pytest

from bridge.model.tokens import new_token
from tests.processes import Bridge, Langfuse, command, until
from tests.recordings import CAPTURES, JSON, capture

SUBAGENT = "2.1.330/e-subagent"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as a setting


def token_command(bridge: Bridge, *words: str) -> str:
    ended = command("token", *words, cwd=bridge.data_dir.parent, **bridge.environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def new(bridge: Bridge, *words: str) -> str:
    return token_command(bridge, "new", *words).strip()


def sent(bridge: Bridge, token: str) -> dict[str, int]:
    """What the answers to a capture were, by their status; {} when all were taken."""
    ended = command(
        "send", str(CAPTURES / SUBAGENT), "--endpoint", f"http://127.0.0.1:{bridge.port}", "--json",
        cwd=bridge.data_dir.parent,
        OTEL_EXPORTER_OTLP_HEADERS=f"Authorization=Bearer {token}",
    )  # fmt: skip
    assert token not in ended.stderr
    return dict(json.loads(ended.stdout)["refused"])


def until_answered(bridge: Bridge, token: str, status: int) -> None:
    """Until an export without records is answered so."""
    headers = {"Content-Type": JSON, "Authorization": f"Bearer {token}"}

    def answered() -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", bridge.port)) as connection:
            connection.request("POST", "/v1/logs", b"{}", headers)
            return connection.getresponse().status

    until(lambda: answered() == status, f"answered {status}")


def test_a_clients_own_department_loses_against_its_tokens(tmp_path: Path) -> None:
    claimed = {"member:alex", "department:engineering"}
    with Langfuse(tmp_path) as langfuse, Bridge(tmp_path, langfuse.url) as bridge:
        ada = new(bridge, "ada", "--tags", "member=ada,department=research%20%26%20more")
        until_answered(bridge, "nobody", 401)
        assert sent(bridge, ada) == {}
        bridge.wait_until_settled()
        bridge.stop()
        spans = langfuse.received().spans

    assert spans
    for span in spans:
        tags = span.attributes["langfuse.trace.tags"]
        assert tags[:2] == ["member:ada", "department:research & more"]
        assert not claimed & set(tags)
        assert span.attributes["langfuse.user.id"] == "ada"


def test_tokens_come_and_go_while_it_runs(tmp_path: Path) -> None:
    of_variable = new_token()
    with Bridge(tmp_path, tokens=f"ops:{of_variable}") as bridge:
        pids = bridge.pids()
        assert sent(bridge, of_variable) == {}
        assert sent(bridge, new_token()) == {"401": 3}
        assert bridge.health()["refused"] == {"unauthenticated": 3}

        ada = new(bridge, "ada")
        until_answered(bridge, ada, 200)
        bridge.kill_child("receiver")
        bridge.wait_until_up()
        assert sent(bridge, ada) == {}

        tokens = bridge.data_dir / "tokens"
        kept = tokens.read_text()
        tokens.write_text("ada planted-words\n")
        until(lambda: "tokens.not_reloaded" in bridge.log(), "it is warned of")
        assert sent(bridge, ada) == {}
        tokens.write_text(kept)

        token_command(bridge, "revoke", "ada")
        until_answered(bridge, ada, 401)
        assert sent(bridge, of_variable) == {}
        assert bridge.pids()["worker"] == pids["worker"]
        assert bridge.stop() == 0

    assert "planted" not in bridge.log()


def test_a_token_is_nowhere_but_where_it_is_shown(tmp_path: Path) -> None:
    of_variable = new_token()
    with Bridge(tmp_path, log_level="debug", tokens=f"ops:{of_variable}") as bridge:
        ada, wrong = new(bridge, "ada"), new_token()
        until_answered(bridge, ada, 200)
        sent(bridge, wrong)
        sent(bridge, of_variable)
        shown = command("check-config", cwd=tmp_path, **bridge.environment).stdout
        listed = token_command(bridge, "list")
        arguments = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in bridge.pids().values()]
        health = json.dumps(bridge.health())
        assert bridge.stop() == 0
    files = b"".join(path.read_bytes() for path in bridge.data_dir.iterdir() if path.is_file())

    said = f"{bridge.log()}{shown}{listed}{arguments}{health}"
    for token in (of_variable, ada, wrong):
        assert token not in said
        assert token.encode() not in files
    assert re.search(r"^tokens\tops:\*+\t", shown, flags=re.MULTILINE)
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["name", "ops", "ada"]


def test_a_new_token_is_printed_once_with_the_line_that_sets_it(tmp_path: Path) -> None:
    ended = command("token", "new", "ada", "--data-dir", "data", cwd=tmp_path)
    token = ended.stdout.strip()
    again = command("token", "new", "ada", "--data-dir", "data", cwd=tmp_path)
    listed = command("token", "list", "--data-dir", "data", "--json", cwd=tmp_path)

    assert ended.returncode == 0
    assert re.fullmatch(r"lfb_[\w-]{43}", token)
    assert f'OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer {token}"' in ended.stderr
    assert (again.returncode, again.stdout) == (1, "")
    assert "there is a token named ada already" in again.stderr
    (row,) = json.loads(listed.stdout)
    assert row == {"name": "ada", "fixed": "", "source": f"{tmp_path}/data/tokens"}
    assert (tmp_path / "data" / "tokens").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["new", "a b"], "a token's name should be"),
        (
            ["new", "ada", "--tags", "research"],
            "--tags research: should give attributes",
        ),
        (["revoke", "ada"], "there is no token named ada"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, words: list[str], told: str) -> None:
    ended = command("token", *words, "--data-dir", "data", cwd=tmp_path)

    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_without_any_token_left_it_is_said_that_nobody_may_send(tmp_path: Path) -> None:
    nothing = command("token", "list", "--data-dir", "data", cwd=tmp_path)
    for name in ("ada", "bob"):
        command("token", "new", name, "--data-dir", "data", cwd=tmp_path)
    one = command("token", "revoke", "ada", "--data-dir", "data", cwd=tmp_path)
    none = command("token", "revoke", "bob", "--data-dir", "data", cwd=tmp_path)
    listed = command("token", "list", "--data-dir", "data", cwd=tmp_path)

    assert nothing.stderr == "none; `langfuse-bridge token new NAME` makes one\n"
    assert "nobody may send" not in one.stderr
    assert all("has no token left, so nobody may send" in each.stderr for each in (none, listed))


def test_the_tokens_file_can_be_anywhere(tmp_path: Path) -> None:
    named = {"BRIDGE_TOKENS_FILE": "secrets/mine"}
    missing = command("run", "--port", "0", "--data-dir", "data", cwd=tmp_path, **named)
    command("token", "new", "ada", cwd=tmp_path, **named)

    assert missing.returncode == 1
    assert f"{tmp_path}/secrets/mine: there is no such file" in missing.stderr
    assert "ada sha256:" in (tmp_path / "secrets" / "mine").read_text()


def test_another_host_is_refused_without_tokens_and_every_way_out_is_named(tmp_path: Path) -> None:
    ended = command("run", "--host", EVERYWHERE, "--port", "0", "--data-dir", "data", cwd=tmp_path)

    assert ended.returncode == 2
    for way_out in ("token new", "BRIDGE_TOKENS", "127.0.0.1", "BRIDGE_INSECURE_BIND=true"):
        assert way_out in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_requests_of_recorded_clients_need_no_token_on_loopback(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        bridge.post(*capture(SUBAGENT))
        assert bridge.health()["refused"] == {}
