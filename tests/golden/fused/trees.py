"""The trees that captures with spans become, checked line by line against their raw spans.

A line tells kind, name, begin and end in milliseconds after the root's begin, what only spans
tell, the level and the beginning of the output. A tool begins and ends with its
``tool.execution`` span and waited as long as its ``tool.blocked_on_user`` span; a request with its
``llm_request`` span, all attempts included; the root with the interaction span, which may begin
before its prompt's record. ``test_golden_fused.py`` says how lines are made.
"""

TREES = {
    "2.0.76/f-resume": """
agent claude-code +0..+131 closed_by=next_prompt -> [answer not exported]
  generation claude-sonnet-4-5-20250929 +11..+131 attempts=1
agent claude-code +0..+487 closed_by=next_prompt -> [answer not exported]
  generation claude-haiku-4-5-20251001 -184..+253
  generation claude-sonnet-4-5-20250929 -183..+254
  generation claude-haiku-4-5-20251001 -119..+168 attempts=1
  generation claude-sonnet-4-5-20250929 +52..+265 attempts=1
  tool Bash +392..+429 waited=78
  generation claude-haiku-4-5-20251001 +429..+453 attempts=1
  generation claude-sonnet-4-5-20250929 +463..+486 attempts=1
agent claude-code +0..+120 closed_by=quiet -> [answer not exported]
  generation claude-haiku-4-5-20251001 +0..+51 attempts=1
  generation claude-haiku-4-5-20251001 +22..+105 attempts=1
  generation claude-sonnet-4-5-20250929 +23..+119 attempts=1
agent claude-code +0..+45 closed_by=quiet -> [answer not exported]
  generation claude-sonnet-4-5-20250929 +12..+45 attempts=1
""",
    "2.0.76/g-interactive": """
agent claude-code +0..+288 closed_by=next_prompt -> [answer not exported]
  generation claude-haiku-4-5-20251001 -2126..-2001 attempts=1
  generation claude-haiku-4-5-20251001 -1982..-1870 attempts=1
  generation claude-sonnet-4-5-20250929 -1979..-1840 attempts=1
  generation claude-haiku-4-5-20251001 +133..+192 attempts=1
  generation claude-sonnet-4-5-20250929 +149..+288 attempts=1
agent claude-code +0..+3879 closed_by=next_prompt -> [answer not exported]
  generation claude-haiku-4-5-20251001 +86..+102 attempts=1
  generation claude-sonnet-4-5-20250929 +112..+226 attempts=1
  tool Write +1803..+1859 waited=1540 -> print(1)|print(2)|
  generation claude-sonnet-4-5-20250929 +1981..+2059 attempts=1
  generation claude-haiku-4-5-20251001 +2224..+2272 attempts=1
  tool Bash +3877..+3877 waited=1819 WARNING -> rejected by user_abort
agent claude-code +0..+1903 closed_by=next_prompt -> [answer not exported]
  generation claude-haiku-4-5-20251001 +60..+96 attempts=1
  generation claude-sonnet-4-5-20250929 +77..+106 attempts=1
  generation claude-haiku-4-5-20251001 +182..+197 attempts=1
  tool Bash +1903..+1903 waited=1759 WARNING -> rejected by user_reject
agent claude-code +0..+154 closed_by=quiet -> [answer not exported]
  generation claude-haiku-4-5-20251001 +67..+132 attempts=1
  generation claude-sonnet-4-5-20250929 +95..+154 attempts=1
""",
    "2.1.45/b-tools-full": """
agent claude-code +0..+584 closed_by=interaction -> [answer not exported]
  generation claude-haiku-4-5-20251001 -45..-8 attempts=1
  generation claude-sonnet-4-6 +93..+112 attempts=1
  tool Read +146..+180 waited=15
  tool Bash +214..+331 waited=84
  generation claude-haiku-4-5-20251001 +334..+367 attempts=1
  generation claude-sonnet-4-6 +359..+382 attempts=1
  tool Edit +386..+390 waited=1
  generation claude-sonnet-4-6 +398..+406 attempts=1
  generation claude-haiku-4-5-20251001 +411..+419 attempts=1
  generation claude-haiku-4-5-20251001 +411..+420 attempts=1
  generation claude-haiku-4-5-20251001 +412..+425 attempts=1
  tool Bash +427..+469 waited=19 ERROR -> Shell command failed
  tool Read +477..+478 waited=4 ERROR -> File does not exist.
  generation claude-sonnet-4-6 +489..+501 attempts=1
  tool Write +503..+522 waited=0 -> line one|line two|line three|
  generation claude-sonnet-4-6 +535..+549 attempts=1
  generation claude-sonnet-4-6 +566..+579 attempts=1
""",
    "2.1.126/b-tools-full": """
agent claude-code +0..+442 closed_by=interaction -> [answer not exported]
  generation claude-sonnet-4-6 +156..+180 attempts=1 stop=tool_use
  tool Read +204..+207 waited=11 -> def add(a, b):|    return a - b|
  tool Bash +205..+254 waited=15 -> total 20|drwxr-xr-x 3 root root
  generation claude-sonnet-4-6 +261..+277 attempts=1 stop=tool_use
  tool Edit +285..+289 waited=3 -> [{"oldStart":1,"oldLines":4,"new
  generation claude-sonnet-4-6 +293..+307 attempts=1 stop=tool_use
  tool Bash +314..+364 waited=4 ERROR -> Shell command failed
  tool Read +368..+373 waited=1 ERROR -> File does not exist. Note: your
  generation claude-sonnet-4-6 +378..+385 attempts=1 stop=tool_use
  tool Write +395..+397 waited=2 -> line one|line two|line three|
  generation claude-sonnet-4-6 +402..+419 attempts=1 stop=tool_use
  generation claude-sonnet-4-6 +428..+440 attempts=1 stop=end_turn
""",
    "2.1.126/e-subagent": """
agent claude-code +0..+306 closed_by=interaction -> [answer not exported]
  generation claude-sonnet-4-6 +78..+102 attempts=1 stop=tool_use
  tool Agent +109..+283 waited=4
    agent general-purpose +119..+282
      generation claude-sonnet-4-6 +119..+156 attempts=1 stop=tool_use
      tool Bash +173..+262 waited=11 -> 2
      generation claude-sonnet-4-6 +268..+282 attempts=1 stop=end_turn
  tool Agent +111..+235 waited=0
    agent general-purpose +121..+233
      generation claude-sonnet-4-6 +121..+179 attempts=1 stop=tool_use
      tool Read +184..+195 waited=2 -> # Project||A small demo.|second
      generation claude-sonnet-4-6 +220..+233 attempts=1 stop=end_turn
  generation claude-sonnet-4-6 +289..+305 attempts=1 stop=end_turn
""",
    "2.1.207/e-subagent": """
agent claude-code +0..+411 closed_by=interaction -> Both agents are finished: 2 file
  generation claude-opus-4-8 +64..+145 attempts=1 stop=tool_use
  tool Agent +109..+358 waited=1
    agent general-purpose +110..+358 -> There are 2 files.
      generation claude-opus-4-8 +123..+219 attempts=1 stop=tool_use
      tool Bash +207..+328 waited=26 -> 2
      generation claude-opus-4-8 +335..+356 attempts=1 stop=end_turn
  tool Agent +129..+294 waited=0
    agent general-purpose +129..+293 -> The readme describes a small dem
      generation claude-opus-4-8 +138..+230 attempts=1 stop=tool_use
      tool Read +227..+236 waited=2 -> # Project||A small demo.|second
      generation claude-opus-4-8 +272..+290 attempts=1 stop=end_turn
  generation claude-opus-4-8 +373..+408 attempts=1 stop=end_turn
""",
    "2.1.330/a-json-min": """
agent claude-code +0..+331 closed_by=interaction -> [answer: 15 characters]
  generation claude-opus-5-5 +171..+253 attempts=1 stop=end_turn
""",
    "2.1.330/c-denied": """
agent claude-code +0..+451 closed_by=interaction -> I was not allowed to do that.
  generation claude-opus-5-5 +167..+274 attempts=1 stop=tool_use
  tool Bash +260..+260 waited=46 WARNING -> rejected by config
  generation claude-opus-5-5 +291..+308 attempts=1 stop=tool_use
  tool Write +317..+317 waited=7 WARNING -> rejected by config
  generation claude-opus-5-5 +328..+363 attempts=1 stop=tool_use
  tool Bash +354..+395 waited=7 -> README.md|app.py
  generation claude-opus-5-5 +420..+438 attempts=1 stop=end_turn
""",
    "2.1.330/d-429-then-ok": """
agent claude-code +0..+1458 closed_by=interaction -> Recovered.
  generation claude-opus-5-5 +175..+1448 attempts=2 stop=end_turn
""",
    "2.1.330/d-500-exhaust": """
agent claude-code +0..+1899 closed_by=interaction ERROR -> api error (HTTP 500)
  generation claude-opus-5-5 +158..+1866 attempts=3 ERROR
  event api_retries_exhausted +1866..+1866 ERROR -> api error
""",
    "2.1.330/e-subagent": """
agent claude-code +0..+781 closed_by=interaction -> Both agents are finished: 2 file
  generation claude-opus-5-5 +148..+299 attempts=1 stop=tool_use
  tool Agent +198..+737 waited=9
    agent general-purpose +202..+734 -> There are 2 files.
      generation claude-opus-5-5 +371..+523 attempts=1 stop=tool_use
      tool Bash +513..+695 waited=19 -> 2
      generation claude-opus-5-5 +714..+728 attempts=1 stop=end_turn
  tool Agent +256..+684 waited=1
    agent general-purpose +256..+633 -> The readme describes a small dem
      generation claude-opus-5-5 +418..+566 attempts=1 stop=tool_use
      tool Read +562..+577 waited=11 -> # Project||A small demo.|second
      generation claude-opus-5-5 +609..+624 attempts=1 stop=end_turn
  generation claude-opus-5-5 +759..+773 attempts=1 stop=end_turn
""",
    "2.1.330/f-resume": """
agent claude-code +0..+275 closed_by=interaction -> First answer.
  generation claude-opus-5-5 +177..+239 attempts=1 stop=end_turn
agent claude-code +0..+289 closed_by=interaction -> Second answer.
  generation claude-opus-5-5 +139..+214 attempts=1 stop=tool_use
  tool Bash +200..+236 waited=15 -> second
  generation claude-opus-5-5 +261..+279 attempts=1 stop=end_turn
agent claude-code +0..+389 closed_by=interaction -> Third answer.
  generation claude-opus-5-5 +213..+331 attempts=1 stop=end_turn
""",
    "2.1.330/g-interactive": """
agent claude-code +0..+502 closed_by=interaction -> First answer is ready.
  generation claude-opus-5-5 +377..+486 attempts=1 stop=end_turn
agent claude-code +0..+4438 closed_by=interaction -> Now bash.
  generation claude-opus-5-5 +86..+337 attempts=1 stop=tool_use
  tool Write +2093..+2589 waited=1744 -> print(1)|print(2)|
  generation claude-opus-5-5 +2639..+2888 attempts=1 stop=tool_use
  tool Bash +4403..+4403 waited=1658 WARNING -> rejected by user_reject
agent claude-code +0..+3763 closed_by=interaction -> never
  generation claude-opus-5-5 +98..+335 attempts=1 stop=tool_use
  event permission_mode_changed +2404..+2404
  tool Bash +2443..+3385 waited=2186
  generation claude-opus-5-5 +3636..+3744 attempts=1 stop=end_turn
agent claude-code +0..+445 closed_by=interaction -> Looked at the file.
  event at_mention +220..+220
  generation claude-opus-5-5 +284..+424 attempts=1 stop=end_turn
  event permission_mode_changed +444..+444
  event permission_mode_changed +445..+445
agent claude-code /exit +0..+49 closed_by=interaction -> [no answer: /exit]
""",
    "2.1.330/i-ext": """
agent claude-code +0..+1620 closed_by=interaction -> All used.
  generation claude-opus-5-5 +228..+294 attempts=1 stop=tool_use
  tool weather/forecast +278..+300 waited=8 -> Sunny in Oslo, 21C
  tool weather/forecast +320..+335 waited=3 ERROR -> Sunny in Nowhere, 21C
  generation claude-opus-5-5 +425..+535 attempts=1 stop=tool_use
  tool Skill +517..+532 waited=30
  event skill_activated +531..+531
  generation claude-opus-5-5 +552..+579 attempts=1 stop=tool_use
  tool Bash +607..+607 waited=2 WARNING -> rejected by hook
  generation claude-opus-5-5 +623..+649 attempts=1 stop=tool_use
  tool Bash +675..+723 waited=8 -> fine
  generation claude-opus-5-5 +759..+815 attempts=1 stop=tool_use
  tool Agent +775..+1514 waited=1
    agent reviewer +776..+1282 -> Looks fine.
      generation claude-opus-5-5 +886..+937 attempts=1 stop=tool_use
      tool Read +931..+946 waited=21 -> def add(a, b):|    return a - b|
      generation claude-opus-5-5 +1139..+1185 attempts=1 stop=end_turn
  generation claude-opus-5-5 +1557..+1595 attempts=1 stop=end_turn
""",
    "2.1.330/j-kill9": """
agent claude-code +0..+5382 closed_by=idle -> Step one.
  generation claude-opus-5-5 +147..+2286 attempts=1 stop=tool_use
  tool Bash +2274..+2309 waited=17 -> one
  generation claude-opus-5-5 +2332..+5369 attempts=1 stop=tool_use
  tool Bash +5364..+5380 waited=10 -> two
""",
}
