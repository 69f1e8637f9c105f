import errno
import json
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

import bridge
from bridge.cli import main
from bridge.cli.commands import COMMANDS
from bridge.config import Config, example_file
from tests.unit.terminal.endpoints import an_endpoint

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_DATA_DIR", str(tmp_path / "state"))


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    folder = tmp_path / "capture"
    folder.mkdir()
    (folder / "001.logs.json").write_text('{"resourceLogs":[]}')
    (folder / "002.traces.json").write_text('{"resourceSpans":[]}')
    return folder


def test_the_version_is_the_packages(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"langfuse-bridge {bridge.__version__}\n"


def test_no_command_shows_the_commands_and_is_wrong_usage(capsys: Captured) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(f"\n    {command}" in captured.err for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_done_can_be_asked_for(command: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: langfuse-bridge {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        ["dance"],
        ["show"],
        ["send"],
        ["sessions", "--limit", "0"],
        ["sessions", "--limit", "-1"],
        ["sessions", "--limit", "many"],
        ["send", "x", "--header", "no-value"],
        ["send", "x", "--header", "=value"],
        ["send", "x", "--header", "a=b\r\nc: d"],
    ],
    ids=lambda argv: " ".join(argv).encode("unicode_escape").decode(),
)
def test_wrong_usage_ends_with_two(argv: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: langfuse-bridge")


def test_check_config_prints_each_setting_between_tabs_and_the_warnings_elsewhere(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_PROT", "1")
    assert main(["check-config", "--port", "5"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "setting\tvalue\tsource"
    assert "port\t5\t--port" in lines
    assert [line.split("\t")[0] for line in lines[1:]] == list(Config.model_fields)
    assert captured.err == "warning: BRIDGE_PROT: is not a setting; did you mean BRIDGE_PORT?\n"


def test_check_config_as_json(capsys: Captured) -> None:
    assert main(["check-config", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {"setting": "port", "value": "4318", "source": "default"} in record["settings"]
    assert (record["warnings"], record["delivers"]) == ([], False)


@pytest.mark.parametrize("as_json", [False, True])
def test_check_config_names_all_problems_and_ends_with_two(
    capsys: Captured, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk")
    argv = ["check-config", "--port", "x", *(["--json"] if as_json else [])]
    assert main(argv) == 2
    problems = [
        ("--port: should be a valid integer, unable to parse string as an integer; it is 'x'"),
        "LANGFUSE_SECRET_KEY: is missing, though LANGFUSE_PUBLIC_KEY is set; set both or neither",
    ]
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        *(f"langfuse-bridge: {problem}" for problem in problems),
        (
            "langfuse-bridge: correct the above; "
            "`langfuse-bridge check-config --example` shows every setting"
        ),
    ]
    assert captured.out == "" if not as_json else json.loads(captured.out) == {"problems": problems}


def test_the_example_is_printed_even_when_the_configuration_is_wrong(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_PORT", "x")
    assert main(["check-config", "--example"]) == 0
    assert capsys.readouterr().out == example_file()


@pytest.mark.parametrize("command", ["run", "sessions", "check-config"])
def test_a_wrong_configuration_stops_a_command_with_two(
    capsys: Captured, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_SETTLE_S", "-1")
    assert main([command]) == 2
    assert "langfuse-bridge: BRIDGE_SETTLE_S: should be" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [["--config", "mine.toml", "check-config"], ["check-config", "--config", "mine.toml"]],
    ids=["before the command", "behind the command"],
)
def test_the_file_can_be_named_on_either_side_of_the_command(
    capsys: Captured, argv: list[str]
) -> None:
    Path("mine.toml").write_text("port = 7")
    assert main(argv) == 0
    assert "port\t7\tport in mine.toml" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["sessions"], ["show", "x"]], ids=["sessions", "show"])
def test_reading_what_was_never_kept_says_how_to_begin(
    capsys: Captured, tmp_path: Path, argv: list[str]
) -> None:
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"langfuse-bridge: nothing is kept in {tmp_path / 'state'} yet; "
        "start the bridge with `langfuse-bridge run`\n"
    )


def test_a_capture_is_sent_with_a_line_for_each_file_and_a_summary(
    capsys: Captured, capture: Path
) -> None:
    with an_endpoint((400, {})) as server:
        argv = ["send", str(capture), "--endpoint", server.url, "--header", "X-Team=a=b"]
        assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"{capture / '001.logs.json'}\t400\t1 attempt",
        f"{capture / '002.traces.json'}\t200\t1 attempt",
    ]
    assert captured.err == "2 requests sent: 1 accepted, 1 refused (400: 1)\n"
    assert [headers["X-Team"] for _, headers, _ in server.asked] == ["a=b", "a=b"]


def test_a_token_may_come_from_the_variable_that_every_exporter_reads(
    capsys: Captured, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer planted,X-Team=a%2Cb")
    with an_endpoint((401, {})) as server:
        argv = ["send", str(capture), "--endpoint", server.url, "--header", "X-Team=mine"]
        assert main(argv) == 1
    assert [(h["Authorization"], h["X-Team"]) for _, h, _ in server.asked] == [
        ("Bearer planted", "mine")
    ] * 2
    captured = capsys.readouterr()
    assert 'set OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer TOKEN"' in captured.err
    assert "planted" not in f"{captured.out}{captured.err}"


def test_what_was_sent_as_json(capsys: Captured, capture: Path) -> None:
    with an_endpoint() as server:
        assert main(["send", str(capture), "--endpoint", server.url, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["sent"], record["accepted"], record["refused"]) == (2, 2, {})


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104  as a setting
def test_captures_go_to_the_bridge_of_this_configuration_by_default(
    capture: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_endpoint() as server:
        monkeypatch.setenv("BRIDGE_HOST", host)
        monkeypatch.setenv("BRIDGE_PORT", server.url.rsplit(":", 1)[1])
        assert main(["send", str(capture)]) == 0
    assert [path for path, _, _ in server.asked] == ["/v1/logs", "/v1/traces"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["capture", "--endpoint", "host:1"], "host:1: should be an http:// or https:// address"),
    ],
    ids=["path", "endpoint"],
)
@pytest.mark.usefixtures("capture")
def test_nothing_is_sent_when_it_is_unclear_what_or_where(
    capsys: Captured, argv: list[str], told: str
) -> None:
    assert main(["send", *argv]) == 2
    assert capsys.readouterr().err == f"langfuse-bridge: {told}\n"


def test_the_module_is_the_command_and_help_loads_no_libraries() -> None:
    script = (
        "import sys; from bridge.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'pydantic', 'rich', 'aiohttp'} & set(sys.modules))"
    )
    by_script = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    *_, loaded = by_script.stdout.decode().splitlines()
    assert loaded == "set()"
    by_module = subprocess.run(
        [sys.executable, "-m", "bridge", "--version"], capture_output=True, check=True
    )
    assert by_module.stdout.decode() == f"langfuse-bridge {bridge.__version__}\n"


def test_a_reader_that_goes_away_ends_the_command_without_a_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "check-config"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize("command", ["sessions", "show x", "token list", "quarantine list"])
def test_a_folder_that_cannot_be_looked_into_is_said_so(
    command: str, tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / ("x" * 300)  # as root may look into any other
    assert main([*command.split(), "--data-dir", str(folder)]) == 1
    assert re.fullmatch(
        rf"langfuse-bridge: cannot use {folder}/\w+(\.db)?: File name too long\n",
        capsys.readouterr().err,
    )


def test_a_folder_of_somebody_else_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied", "/var/lib/x/ledger.db")
    monkeypatch.setattr(Path, "exists", Mock(side_effect=denied))
    assert main(["sessions"]) == 1
    assert capsys.readouterr().err == (
        "langfuse-bridge: cannot use /var/lib/x/ledger.db: Permission denied;"
        " run this as the user whose it is, or with sudo\n"
    )


def test_output_that_cannot_be_written_is_said_so_without_a_traceback() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        ended = subprocess.run(
            [sys.executable, "-m", "bridge", "check-config", "--example"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == b"langfuse-bridge: cannot write: No space left on device\n"


def test_letters_the_terminal_lacks_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "größe.toml").write_text("port = 7")
    ascii_only = {"PYTHONIOENCODING": "ascii", "PATH": "", "BRIDGE_CONFIG": "größe.toml"}
    result = subprocess.run(
        [sys.executable, "-m", "bridge", "check-config"],
        capture_output=True,
        check=True,
        env=ascii_only,
        cwd=tmp_path,
    )
    assert rb"port in gr\xf6\xdfe.toml" in result.stdout
