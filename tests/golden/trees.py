"""The trees that captures become, written by hand and never by the code.

Each was put together from the capture's records (a child begins at its record's time less its
duration), from what the client printed, and from what is known of the client's versions.
``tests/golden/test_trees.py`` says how to read them.
"""

FIX_PROMPT = "Fix the add function in app.py and write notes."
FIX_ANSWER = "Fixed the add function: it now returns a + b. Notes are in notes.md."
NO_FILE = "File does not exist. Note: your current working directory is /home/alex/project."

TOOLS_330 = """
  generation claude-opus-5-5
  tool Bash
  tool Read
  generation claude-opus-5-5
  tool Edit
  generation claude-opus-5-5
  tool Bash  ERROR {bash_error}
  tool Read  ERROR {read_error}
  generation claude-opus-5-5
  tool Write
  generation claude-opus-5-5
  generation claude-opus-5-5
"""


def _tools_330(
    head: str, bash_error: str = "Shell command failed", read_error: str = NO_FILE, debug: int = 4
) -> str:
    children = TOOLS_330.format(bash_error=bash_error, read_error=read_error)
    return f"{head}{children}  debug x{debug}"


FULL_HEAD = f"agent claude-code: {FIX_PROMPT} -> {FIX_ANSWER}"

AGENTS_330 = """
  generation claude-opus-5-5
  tool Agent
    agent general-purpose: {task_1} -> {answer_1}
      generation claude-opus-5-5
      tool Bash
      generation claude-opus-5-5
  tool Agent
    agent general-purpose: {task_2} -> {answer_2}
      generation claude-opus-5-5
      tool Read
      generation claude-opus-5-5
  generation claude-opus-5-5
  debug x6
"""

SIMPLE_330 = """
  generation claude-opus-5-5
  debug x4
"""

TREES = {
    "1.0.60/a-json-full": """
agent claude-code: What is 2+2? Answer shortly. -> [answer not exported]
  generation claude-sonnet-4-20250514
""",
    "1.0.60/b-tools-full": f"""
agent claude-code: {FIX_PROMPT} -> [answer not exported]
  generation claude-sonnet-4-20250514
  generation claude-3-5-haiku-20241022
  generation claude-3-5-haiku-20241022
  generation claude-3-5-haiku-20241022
  generation claude-3-5-haiku-20241022
  tool Bash
  generation claude-3-5-haiku-20241022
  tool Read
  generation claude-sonnet-4-20250514
  generation claude-3-5-haiku-20241022
  generation claude-3-5-haiku-20241022
  generation claude-3-5-haiku-20241022
  tool Bash  ERROR Shell command failed
  generation claude-sonnet-4-20250514
  tool Write
  generation claude-sonnet-4-20250514
  generation claude-sonnet-4-20250514
""",
    # The first haiku request is made two seconds before the first prompt and belongs to it.
    "1.0.60/g-interactive": """
agent claude-code: First question please -> [answer not exported]
  generation claude-3-5-haiku-20241022
  generation claude-3-5-haiku-20241022
  generation claude-sonnet-4-20250514
agent claude-code: Edit two things -> [answer not exported]
  generation claude-3-5-haiku-20241022
  generation claude-sonnet-4-20250514
  tool Write
  generation claude-sonnet-4-20250514
  generation claude-3-5-haiku-20241022
  tool Bash  WARNING rejected by user_reject
agent claude-code: Abort one thing -> [answer not exported]
  generation claude-3-5-haiku-20241022
  generation claude-sonnet-4-20250514
  generation claude-3-5-haiku-20241022
  tool Bash  WARNING rejected by user_reject
agent claude-code: Look at @README.md now -> [answer not exported]
  generation claude-3-5-haiku-20241022
  generation claude-sonnet-4-20250514
""",
    # Nothing tells a sub-agent's work from the main thread's, so all of it is the root's.
    "2.0.76/e-subagent": """
agent claude-code: Investigate with an agent -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  tool Task
  tool Task
  generation claude-sonnet-4-5-20250929
  generation claude-sonnet-4-5-20250929
  tool Read
  generation claude-sonnet-4-5-20250929
  tool Bash
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  generation claude-sonnet-4-5-20250929
""",
    # One session id over three processes. The third process asks three things under a throw-away
    # session id before it takes up the old one: they cost money, so they are shown.
    "2.0.76/f-resume": """
agent claude-code: First question -> [answer not exported]
  generation claude-sonnet-4-5-20250929
agent claude-code: Second question -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  tool Bash
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
agent claude-code: [no prompt] -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
agent claude-code: Third question -> [answer not exported]
  generation claude-sonnet-4-5-20250929
""",
    "2.0.76/g-interactive": """
agent claude-code: First question please -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  generation claude-haiku-4-5-20251001
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
agent claude-code: Edit two things -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  tool Write
  generation claude-sonnet-4-5-20250929
  generation claude-haiku-4-5-20251001
  tool Bash  WARNING rejected by user_abort
agent claude-code: Abort one thing -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
  generation claude-haiku-4-5-20251001
  tool Bash  WARNING rejected by user_reject
agent claude-code: Look at @README.md now -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-5-20250929
""",
    # The first request is made before the prompt, in the same process.
    "2.1.45/b-tools-full": f"""
agent claude-code: {FIX_PROMPT} -> [answer not exported]
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-6
  tool Read
  tool Bash
  generation claude-haiku-4-5-20251001
  generation claude-sonnet-4-6
  tool Edit
  generation claude-sonnet-4-6
  generation claude-haiku-4-5-20251001
  generation claude-haiku-4-5-20251001
  generation claude-haiku-4-5-20251001
  tool Bash  ERROR Shell command failed
  tool Read  ERROR File does not exist.
  generation claude-sonnet-4-6
  tool Write
  generation claude-sonnet-4-6
  generation claude-sonnet-4-6
""",
    "2.1.126/b-tools-full": f"""
agent claude-code: {FIX_PROMPT} -> [answer not exported]
  generation claude-sonnet-4-6
  tool Read
  tool Bash
  generation claude-sonnet-4-6
  tool Edit
  generation claude-sonnet-4-6
  tool Bash  ERROR Shell command failed
  tool Read  ERROR {NO_FILE}
  generation claude-sonnet-4-6
  tool Write
  generation claude-sonnet-4-6
  generation claude-sonnet-4-6
""",
    # Two sub-agents at once, and records say only that some sub-agent asked. While both calls run
    # (317 to 442 ms) their work cannot be told apart, so one agent holds it and hangs below the
    # root; the last request began after the second call had come back, so it is the first call's.
    "2.1.126/e-subagent": """
agent claude-code: Investigate with an agent -> [answer not exported]
  generation claude-sonnet-4-6
  tool Agent
    agent general-purpose: SUBALPHA count the files in the project -> -
      generation claude-sonnet-4-6
  tool Agent
  agent general-purpose: - -> -
    generation claude-sonnet-4-6
    generation claude-sonnet-4-6
    tool Bash
    tool Read
    generation claude-sonnet-4-6
  generation claude-sonnet-4-6
  debug x2
""",
    # Three processes of one session; event.sequence begins at 0 in each.
    "2.1.126/f-resume": """
agent claude-code: First question -> [answer not exported]
  generation claude-sonnet-4-6
agent claude-code: Second question -> [answer not exported]
  generation claude-sonnet-4-6
  tool Bash
  generation claude-sonnet-4-6
agent claude-code: Third question -> [answer not exported]
  generation claude-sonnet-4-6
""",
    "2.1.207/b-tools-full": f"""
agent claude-code: {FIX_PROMPT} -> {FIX_ANSWER}
  generation claude-opus-4-8
  tool Bash
  tool Read
  generation claude-opus-4-8
  tool Edit
  generation claude-opus-4-8
  tool Bash  ERROR Shell command failed
  tool Read  ERROR {NO_FILE}
  generation claude-opus-4-8
  tool Write
  generation claude-opus-4-8
  generation claude-opus-4-8
""",
    # No agent ids yet: a sub-agent's records share the span of the call that started it.
    "2.1.207/e-subagent": """
agent claude-code: Investigate with an agent -> Both agents are finished: 2 files.
  generation claude-opus-4-8
  tool Agent
    agent general-purpose: SUBALPHA count the files in the project -> There are 2 files.
      generation claude-opus-4-8
      tool Bash
      generation claude-opus-4-8
  tool Agent
    agent general-purpose: SUBBETA read the readme -> The readme describes a small demo.
      generation claude-opus-4-8
      tool Read
      generation claude-opus-4-8
  generation claude-opus-4-8
  debug x2
""",
    "2.1.330/a-json-full": f"""
agent claude-code: What is 2+2? Answer shortly. -> 2 + 2 equals 4.{SIMPLE_330}""",
    "2.1.330/a-grpc-full": f"""
agent claude-code: What is 2+2? Answer shortly. -> 2 + 2 equals 4.{SIMPLE_330}""",
    "2.1.330/a-pb-gzip": f"""
agent claude-code: What is 2+2? Answer shortly. -> 2 + 2 equals 4.{SIMPLE_330}""",
    "2.1.330/a-json-notraces": f"""
agent claude-code: What is 2+2? Answer shortly. -> 2 + 2 equals 4.{SIMPLE_330}""",
    "2.1.330/a-json-min": f"""
agent claude-code: [prompt: 28 characters] -> [answer: 15 characters]{SIMPLE_330}""",
    # Without session.id; records are ordered by installation.
    "2.1.330/a-json-includes": f"""
agent claude-code: [prompt: 28 characters] -> [answer: 15 characters]{SIMPLE_330}""",
    "2.1.330/b-tools-full": _tools_330(FULL_HEAD),
    "2.1.330/b-tools-pb-full": _tools_330(FULL_HEAD),
    "2.1.330/b-tools-slow": _tools_330(FULL_HEAD, debug=5),
    "2.1.330/b-tools-min": _tools_330(
        "agent claude-code: [prompt: 47 characters] -> [answer: 68 characters]",
        bash_error="ShellError",
        read_error="TelemetrySafeError",
    ),
    "2.1.330/c-denied": """
agent claude-code: Delete the build directory -> I was not allowed to do that.
  generation claude-opus-5-5
  tool Bash  WARNING rejected by config
  generation claude-opus-5-5
  tool Write  WARNING rejected by config
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  debug x4
""",
    # Retries that succeed leave no event.
    "2.1.330/d-429-then-ok": """
agent claude-code: err probe please -> Recovered.
  generation claude-opus-5-5
  debug x4
""",
    "2.1.330/d-500-exhaust": """
agent claude-code: err probe please -> api error (HTTP 500)  ERROR api error (HTTP 500)
  generation claude-opus-5-5  ERROR api error (HTTP 500)
  event api_retries_exhausted  ERROR api error
  debug x4
""",
    "2.1.330/d-refusal": """
agent claude-code: err probe please -> Done.
  generation claude-opus-5-5
  event api_refusal  WARNING
  generation claude-opus-5-5
  debug x4
""",
    "2.1.330/e-subagent": (
        "agent claude-code: Investigate with an agent -> Both agents are finished: 2 files."
        + AGENTS_330.format(
            task_1="SUBALPHA count the files in the project",
            answer_1="There are 2 files.",
            task_2="SUBBETA read the readme",
            answer_2="The readme describes a small demo.",
        )
    ),
    "2.1.330/e-subagent-min": (
        "agent claude-code: [prompt: 25 characters] -> [answer: 34 characters]"
        + AGENTS_330.format(
            task_1="-",
            answer_1="[answer: 18 characters]",
            task_2="-",
            answer_2="[answer: 34 characters]",
        )
    ),
    # The third process starts up under a throw-away session id, of which nothing is shown.
    "2.1.330/f-resume": """
agent claude-code: First question -> First answer.
  generation claude-opus-5-5
  debug x4
agent claude-code: Second question -> Second answer.
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  debug x4
agent claude-code: Third question -> Third answer.
  generation claude-opus-5-5
""",
    # The mention comes before its prompt, the last mode changes after the answer.
    "2.1.330/g-interactive": """
agent claude-code: First question please -> First answer is ready.
  generation claude-opus-5-5
  debug x5
agent claude-code: Edit two things -> Now bash.
  generation claude-opus-5-5
  tool Write
  generation claude-opus-5-5
  tool Bash  WARNING rejected by user_reject
agent claude-code: Abort one thing -> never
  generation claude-opus-5-5
  event permission_mode_changed
  tool Bash
  generation claude-opus-5-5
agent claude-code: Look at @README.md now -> Looked at the file.
  event at_mention
  generation claude-opus-5-5
  event permission_mode_changed
  event permission_mode_changed
agent claude-code /exit: /exit -> [no answer: /exit]
""",
    "2.1.330/h-commit": """
agent claude-code: Commit the work -> Committed.
  generation claude-opus-5-5
  tool Write
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  debug x4
""",
    "2.1.330/i-compact-p": """
agent claude-code: First question -> First answer.
  generation claude-opus-5-5
  debug x4
agent claude-code /compact: /compact -> [no answer: /compact]
  generation claude-opus-5-5
  generation claude-opus-5-5
  event compaction
  debug x4
""",
    # 13 events of start-up, hooks and connections before the prompt, 2 of its hook, 3 + 3 of the
    # tools' hooks, 2 of the agent's, 2 of the stop hook, 1 disconnection.
    "2.1.330/i-ext": """
agent claude-code: Use everything -> All used.
  generation claude-opus-5-5
  tool weather/forecast
  tool weather/forecast  ERROR Sunny in Nowhere, 21C
  generation claude-opus-5-5
  tool Skill
  event skill_activated
  generation claude-opus-5-5
  tool Bash  WARNING rejected by hook
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  tool Agent
    agent reviewer: CUSTOMAGENT review it -> Looks fine.
      generation claude-opus-5-5
      tool Read
      generation claude-opus-5-5
  generation claude-opus-5-5
  debug x26
""",
    # Killed: the last thing known is a tool's result.
    "2.1.330/j-kill9": """
agent claude-code: Slow job please -> Step one.
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  tool Bash
  debug x5
""",
    "2.1.330/k-resattr": f"""
agent claude-code: What is 2+2? Answer shortly. -> 2 + 2 equals 4.{SIMPLE_330}""",
    "2.1.330/x-503-ra": """
agent claude-code: Slow job please -> Slow job finished.
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  tool Bash
  generation claude-opus-5-5
  debug x5
""",
}
"""Capture → its traces, one below the other."""
