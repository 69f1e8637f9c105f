"""The documents say what the code does: every setting, command, file, test and default."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC
from html import unescape
from pathlib import Path

import pytest

from bridge.cli.arguments import make_parser
from bridge.cli.commands import COMMANDS
from bridge.config import Config, example_file, load, settings_table
from bridge.correlate.activity import counters
from bridge.langfuse.score_configs import SCORE_DESCRIPTIONS
from bridge.langfuse.session_scores import PROMPT_COST
from bridge.metrics.families import metrics_table
from bridge.model.delivery import LangfuseState
from bridge.model.measures import PICO
from bridge.model.outcomes import Outcome
from bridge.model.sessions import GapReason, SessionNumbers, Summary
from bridge.model.totals import Totals
from bridge.terminal.traces import trace_lines
from tests.golden.fused.signals import requests_of
from tests.pipeline import pipeline

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.name: path.read_text()
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs" / f"{name}.md" for name in ("PERFORMANCE", "RELIABILITY")),
    )
}
README = DOCUMENTS["README.md"]
ARCHITECTURE = DOCUMENTS["ARCHITECTURE.md"]
EXAMPLE = (ROOT / "config" / "bridge.example.toml").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"(?:benchmarks|bridge|config|docs|tests)/[\w./-]*[\w]")


def fenced(text: str, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(text) if found == language]


def prose(text: str) -> str:
    return FENCE.sub("", text)


def shown_commands() -> list[str]:
    """Every command line in a shell block or, of ours, in the running text."""
    lines = [
        line.removeprefix("$ ")
        for text in DOCUMENTS.values()
        for block in (*fenced(text, "sh"), *fenced(text, "console"))
        for line in block.splitlines()
    ]
    inline = [code for text in DOCUMENTS.values() for code in CODE.findall(prose(text))]
    return sorted({line.strip() for line in (*lines, *inline)})


def bare(line: str) -> list[str]:
    """The words of a command without its variables, comment, pipe and redirection."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    ends = [index for index, word in enumerate(words) if word in {"|", ">", "&&"}]
    return words[: ends[0]] if ends else words


OUR_COMMANDS = sorted(
    {
        shlex.join(words[1:])
        for line in shown_commands()
        if (words := bare(line)) and words[0].endswith("langfuse-bridge") and len(words) > 1
    }
)
TARGETS = sorted(
    {words[1] for line in shown_commands() if (words := bare(line))[:1] == ["make"] and words[1:]}
)
SCRIPTS = sorted(
    {
        word
        for line in shown_commands()
        if (words := bare(line)) and "python" in words[0]
        for word in words
        if word.endswith(".py")
    }
)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The command as a person would run it in a fresh shell, in UTC."""
    ours = ("BRIDGE_", "LANGFUSE_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-m", "bridge", *words],
        cwd=ROOT,
        env=environ | {"TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def summary_of(capture: str) -> str:
    """What ``show`` prints of the summary of a capture's session, all three signals posted."""
    with pipeline() as made:
        for request in requests_of(capture):
            made.post(request)
            made.work(request.received_at_ms)
        made.finish(request.received_at_ms)
        view = made.local_view()
        (summary,) = [found for found in view.find("") if found.is_summary]
        view.close()
    return "\n".join(trace_lines(summary, zone=UTC)) + "\n"


def counter_names() -> set[str]:
    """Every counter that the summary of a session can have."""
    kinds = ("active_s", "lines\0type=added", "lines\0type=removed", "commits", "pull_requests")
    edits = ("edit_decisions\0decision=accept", "edit_decisions\0decision=reject")
    numbers = SessionNumbers(
        prompts=1,
        totals=Totals(tools=1, tool_errors=1, rejections=1, failures=1),
        series=dict.fromkeys([*kinds, *edits], PICO),
    )
    summary = Summary(start_ms=0, end_ms=1, first_prompt=None, numbers=numbers, gap=None)
    return {counter.name for counter in counters(summary)}


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo_output(demo_dir: Path) -> str:
    return run("demo", "--keep", str(demo_dir)).stdout


# ------------------------------------------------------------------------------------- settings


def test_the_settings_table_of_the_readme_is_the_one_written_from_the_fields() -> None:
    start, end = "<!-- settings:start -->", "<!-- settings:end -->"
    assert README.split(start)[1].split(end)[0].strip() == settings_table()


def test_the_example_file_is_the_one_written_from_the_fields() -> None:
    # To renew it: langfuse-bridge check-config --example > config/bridge.example.toml
    assert example_file() == EXAMPLE


def test_the_example_file_loads_unchanged_and_changes_nothing(tmp_path: Path) -> None:
    loaded = load({"config": ROOT / "config" / "bridge.example.toml"}, {}, tmp_path)
    assert loaded.config == Config()
    assert set(loaded.sources.values()) == {"default"}


def test_the_example_file_with_every_setting_uncommented_still_changes_nothing(
    tmp_path: Path,
) -> None:
    text = re.sub(r"^#(?=\w+ = )", "", EXAMPLE, flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(text)
    assert list(tomllib.loads(text)) == list(Config.model_fields)
    assert load({"config": "all.toml"}, {}, tmp_path).config == Config()


def test_every_variable_of_ours_that_a_document_names_exists() -> None:
    known = {name for row in settings_table().splitlines() for name in CODE.findall(row)}
    named = set(re.findall(r"\b(?:BRIDGE|LANGFUSE)_[A-Z_]*[A-Z]", "".join(DOCUMENTS.values())))
    assert named - known == {"BRIDGE_CONFIG"}


# ------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_the_command(command: str) -> None:
    assert f"langfuse-bridge {command}" in README


@pytest.mark.parametrize("command", OUR_COMMANDS)
def test_a_command_that_is_shown_can_be_typed(command: str) -> None:
    args = make_parser().parse_args(shlex.split(command))
    assert args.command in COMMANDS
    for path in getattr(args, "paths", ()):
        assert str(path) == "PATH" or (ROOT / path).exists()


@pytest.mark.parametrize("target", sorted({"demo", "run", "test", *TARGETS}))
def test_a_make_target_that_is_shown_exists(target: str) -> None:
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, flags=re.MULTILINE)


@pytest.mark.parametrize("target", ["demo", "test", "run"])
def test_the_readme_names_the_make_target(target: str) -> None:
    assert f"make {target}" in README


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_that_is_shown_exists(script: str) -> None:
    assert (ROOT / script).is_file()


def test_the_demo_prints_what_the_readme_shows(demo_output: str) -> None:
    # To renew it: TZ=UTC .venv/bin/langfuse-bridge demo | cat
    assert demo_output in fenced(README, "text")


def test_the_picture_of_the_demo_says_what_the_demo_prints(demo_output: str) -> None:
    # To renew it: .venv/bin/python docs/make_pictures.py
    drawing = (ROOT / "docs" / "demo.svg").read_text()
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", drawing)
    drawn = re.sub(r"[\s│├└─]+", "", unescape("".join(texts)))
    printed = [part for line in demo_output.splitlines() for part in line.strip().split("  ")]
    missing = [part for part in printed if part.replace(" ", "") not in drawn]
    assert missing == []


def test_the_kept_demo_can_be_listed_and_shown_as_the_readme_does(
    demo_dir: Path, demo_output: str
) -> None:
    (console,) = fenced(README, "console")
    header, row = run("sessions", "--data-dir", str(demo_dir)).stdout.splitlines()
    for cell in (*header.split("\t"), *row.split("\t")):
        assert cell in console or cell[:8] in console  # a terminal shows the id's beginning
    shown = run("show", "ac4c", "--data-dir", str(demo_dir)).stdout
    assert shown == demo_output
    assert "".join(shown.splitlines(keepends=True)[:4]) in console


def test_a_summary_is_printed_as_the_readme_shows_it() -> None:
    assert summary_of("2.1.330/h-commit") in fenced(README, "text")


def test_the_readme_explains_every_score_counter_and_reason_of_a_gap() -> None:
    section = README.split("### The numbers of a session")[1].split("\n### ")[0]
    names = {*SCORE_DESCRIPTIONS, *counter_names()} - {PROMPT_COST}
    assert set(CODE.findall(section)) >= names | set(GapReason)
    assert f"score `{PROMPT_COST}`" in README


# --------------------------------------------------------------------------------------- health


def test_the_readme_explains_every_field_of_health_and_every_outcome() -> None:
    section = README.split("## Health")[1].split("\n## ")[0]
    (example,) = fenced(section, "json")
    fields = set(re.findall(r'^  "(\w+)":', example, flags=re.MULTILINE))
    source = (ROOT / "bridge" / "app" / "health.py").read_text()
    reported = {
        node.value
        for tree in ast.walk(ast.parse(source))
        if isinstance(tree, ast.Dict)
        for node in tree.keys
        if isinstance(node, ast.Constant)
    }
    assert fields == reported - {"reason"}
    explained = set(CODE.findall(section))
    assert explained >= (fields - {"version"}) | set(Outcome) | set(LangfuseState)


# -------------------------------------------------------------------------------------- metrics


def test_the_metrics_table_of_the_readme_is_the_one_written_from_the_families() -> None:
    start, end = "<!-- metrics:start -->", "<!-- metrics:end -->"
    assert README.split(start)[1].split(end)[0].strip() == metrics_table()


# -------------------------------------------------------------------------------- dependencies


def test_the_langfuse_sdk_is_imported_by_tests_only_as_the_architecture_says() -> None:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "bridge").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert [name for name in whole | parts if name.split(".")[0] == "langfuse"] == []


# ------------------------------------------------------------------------------- files and names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_or_folder_that_is_named_exists(document: str) -> None:
    text = DOCUMENTS[document]
    links = {link.partition("#")[0] for link in LINK.findall(text) if "://" not in link}
    paths = {path for code in CODE.findall(text) for path in PATH.findall(code)}
    optional = {"config/bridge.toml", "config/bridge.env"}  # the reader's own
    folder = ROOT if (ROOT / document).exists() else ROOT / "docs"
    assert [p for p in sorted(links) if p and not (folder / p).exists()] == []
    assert [p for p in sorted(paths - optional) if not (ROOT / p).exists()] == []


def test_a_link_within_a_document_leads_to_a_heading() -> None:
    for text in DOCUMENTS.values():
        headings = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
        assert {link[1:] for link in LINK.findall(text) if link.startswith("#")} <= anchors


def test_each_invariant_names_tests_that_exist() -> None:
    section = ARCHITECTURE.split("## Invariants")[1].split("\n## ")[0]
    numbered = re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]
    assert len(numbered) >= 10
    for invariant in numbered:
        assert_names_tests(invariant.split("Tests:")[1])


def test_each_promise_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| \*\*.*$", DOCUMENTS["RELIABILITY.md"], flags=re.MULTILINE)
    assert rows
    for row in rows:
        assert_names_tests(row.split(" | ")[1])


def assert_names_tests(text: str) -> None:
    """Files, each followed by the names of tests in it."""
    source, names = "", []
    for code in CODE.findall(text):
        if code.startswith("tests/"):
            source = (ROOT / code).read_text()
        else:
            assert f"def {code}(" in source, code
            names.append(code)
    assert names, text


def test_the_layer_table_is_the_tree() -> None:
    section = ARCHITECTURE.split("## Layers")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `(bridge/\w+)` \|", section, flags=re.MULTILINE))
    packages = (ROOT / "bridge").glob("*/__init__.py")
    assert listed == {f"bridge/{path.parent.name}" for path in packages}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_line_of_running_text_is_one_sentence(document: str) -> None:
    lines = [line for line in prose(DOCUMENTS[document]).splitlines() if not line.startswith("|")]
    assert [line for line in lines if re.search(r"[a-z)`*][.!?] +[A-Z`]", line)] == []
