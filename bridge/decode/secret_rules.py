r"""What secrets look like: one rule for each kind, in RE2's syntax, over UTF-8 bytes.

Prefixes and alphabets are those of detect-secrets and of the issuers' documents; a test draws
secrets from detect-secrets' own patterns and compares. Minimum lengths are shorter than the whole
secret, because clients cut texts anywhere. Leaves to ``redaction`` where the rules are applied.

Rules for editing: a key with a telling prefix needs no boundary before it, since a newline inside
JSON text is the two characters ``\n``, whose n would be glued to the key; one without begins with
``_EDGE``. Nothing may have to follow a loop without bound, or many near misses in one text would
each read it to its end; the test with adversarial texts of 10 MB finds that.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import NamedTuple


class Found(NamedTuple):
    """One match, for a rule's second look.

    Attributes:
        before: The matched bytes before the secret.
        after: The byte behind the match; empty at the end of the text.
    """

    secret: bytes
    before: bytes
    after: bytes


class Rule(NamedTuple):
    """One kind of secret.

    Attributes:
        pattern: The first group that took part is the secret, without groups the whole match.
        accepts: Tells a secret from what only looks like one.
    """

    kind: str
    pattern: str
    accepts: Callable[[Found], bool] | None = None


_EDGE = r"(?:\A|\\[bfnrt]|[^A-Za-z0-9_])"
"""Where a key may begin whose prefix is also part of words (task-…, risk_…)."""

_CUT = r"(?:\x00|\.\.\.|…|\z)"
"""Where a text was cut off: at its end, or before a client's note that it was."""

_GAP = r"(?:\s|\\[nrt])+"

_PASSWORDS = r"pass(?:word|wd|phrase|code)|passwd|pwd"
_KEY = (
    r"(?:api|access|secret|private|signing|encryption|master|account|auth|storage|shared)"
    r"[-_. ]?(?:access[-_. ]?)?key|(?:client|app|api|auth|shared|consumer|webhook)[-_. ]?secret"
    r"|(?:access|auth|refresh|bearer|secret|session|bot|api)[-_. ]?token"
    r"|conn(?:ection)?[-_. ]?str(?:ing)?"
)
_HARMLESS = r"token|secret|credentials?"
"""Names of secrets that are as often names of harmless things."""

_ENCODED = r"(?:[-_. ]?(?:base64|b64|value)|[-_]?\d+)?"
_SECRET_NAME = re.compile(
    rf"(?:{_PASSWORDS}|{_KEY}|secret|authorization|cookie){_ENCODED}\Z", re.IGNORECASE
)
_TOKEN_NAME = re.compile(rf"(?:{_HARMLESS}){_ENCODED}\Z", re.IGNORECASE)
_LONGEST_NAME = 200

SECRET_NAME = rf"(?i)(?:{_PASSWORDS}|{_KEY}|{_HARMLESS}|authorization|cookie){_ENCODED}\x00"
"""A name that ends with such a word, before a NUL byte."""

PRIVATE_KEY = (
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|---- BEGIN [A-Z0-9 ]*PRIVATE KEY ----|PuTTY-User-Key-File-\d"
)
PRIVATE_KEY_END = (
    r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|---- END [A-Z0-9 ]*PRIVATE KEY ----|Private-MAC: [0-9a-f]+"
)
KEY_LINES = (
    r"""(?:(?:\s|\\[nrt]|["'+>|\\,]|\d+(?:→|:|\t))*"""
    r"""(?:[A-Za-z-]+: [^\n\\"]*|[A-Za-z0-9+/=]{20,}))*"""
    r"""(?:\s|\\[nrt])*(?:[A-Za-z0-9+/=]*[0-9+/=][A-Za-z0-9+/=]*)?"""
)
"""Lines of a key whose end was cut off: headers, base64, and line numbers and quotes around it."""

_VALUE = (
    r"""(?:"((?:[^"\\\r\n]|\\.)+)|'((?:[^'\\\r\n]|\\.)+)|\\+["']([^"'\\\r\n]+)"""
    r"""|([^\s"'\\,;&|<>(){}\[\]`]+))"""
)
"""A value in quotes, in the quotes of JSON inside JSON, or without any."""

_WORD = r"""([^\s"'\\]+)"""
_PLACEHOLDERS = frozenset(
    b"none null nil true false undefined str string bytes int any optional secretstr required "
    b"redacted hidden masked changeme example flag option argument value parameter prompt stdin "
    b"is and or to the a an in for with from not as if of on field".split()
)
_PLACEHOLDER_STARTS = (b"$", b"%", b"<", b"{", b"[redacted", b"*", b"...", b"\xe2\x80\xa6", b"xxx")
_SHORTEST_TOKEN = 8
_NUMBER = b"0123456789.,_-+"
_DIGIT = re.compile(rb"\d")
_EXPRESSION = re.compile(rb"[A-Za-z_]+(?:\.[A-Za-z_]+)+\Z")
_WHOLLY_TELLING = re.compile(rf"(?:{_PASSWORDS}|{_KEY}){_ENCODED}\W*\Z".encode(), re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a key, like ``db_password`` or ``X-Api-Key``, makes a secret of any value."""
    return _SECRET_NAME.search(name[-_LONGEST_NAME:]) is not None


def is_token_name(name: str) -> bool:
    """Whether a key, like ``token``, makes a secret of a value that looks like one."""
    return _TOKEN_NAME.search(name[-_LONGEST_NAME:]) is not None


def is_placeholder(value: bytes) -> bool:
    """Whether a value stands for a secret (``$TOKEN``, ``<token>``, ``***``) or for a type."""
    lowered = value[:_LONGEST_NAME].lower()
    return lowered.startswith(_PLACEHOLDER_STARTS) or lowered in _PLACEHOLDERS


def looks_random(secret: bytes) -> bool:
    """Long enough for a token, with letters and digits: no word and no number."""
    if len(secret) < _SHORTEST_TOKEN:
        return False
    return _DIGIT.search(secret) is not None and secret.strip(_NUMBER) != b""


def _random(found: Found) -> bool:
    return looks_random(found.secret)


def _told(found: Found) -> bool:
    return not is_placeholder(found.secret) and not found.secret.startswith(b"-")


def _not_a_port(found: Found) -> bool:
    return not found.secret.isdigit() and _told(found)


def _assigned(found: Found) -> bool:
    """Code assigns calls, fields and its own arguments to such names; they are no secrets."""
    if is_placeholder(found.secret):
        return False
    if not _WHOLLY_TELLING.search(found.before[-_LONGEST_NAME:]):
        return looks_random(found.secret)
    if found.before.endswith((b'"', b"'")):
        return True
    return not _is_code(found)


def _is_code(found: Found) -> bool:
    if found.after in {b"(", b"["} or _EXPRESSION.match(found.secret[:_LONGEST_NAME]):
        return True
    return found.secret.lower() in found.before.lower()


def _basic(found: Found) -> bool:
    """Base64 of ``user:password``, as far as it is there."""
    try:
        return b":" in base64.b64decode(found.secret[: len(found.secret) // 4 * 4])
    except binascii.Error:
        return False


def _option(programs: str, option: str) -> str:
    """A password behind an option of these programs, on one command."""
    return rf"(?:{programs})(?:\s[^\n|;&]*?)?\s{option}{_WORD}"


RULES = (
    Rule("anthropic_api_key", r"sk-ant-[A-Za-z0-9_-]{6,}"),
    Rule("langfuse_key", r"(?:sk|pk)-lf-[A-Za-z0-9-]{6,}"),
    Rule("bridge_token", r"lfb_[A-Za-z0-9_-]{6,}"),
    Rule("openai_api_key", r"sk-[A-Za-z0-9_-]{0,100}[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]*"),
    Rule("openai_api_key", _EDGE + r"(sk-(?:proj|svcacct|admin|or-v1)-[A-Za-z0-9_-]{8,})", _random),
    Rule("openai_api_key", _EDGE + r"(sk-[A-Za-z0-9]{20,})", _random),
    Rule("github_token", r"gh[pousr]_[A-Za-z0-9_]{12,}|github_pat_[A-Za-z0-9_]{8,}", _random),
    Rule("gitlab_token", r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|ffct)-[A-Za-z0-9_.-]{8,}"),
    Rule("gitlab_token", r"(?:gloas-|GR1348941)[A-Za-z0-9_-]{8,}"),
    Rule("aws_access_key", _EDGE + r"((?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{8,})"),
    Rule(
        "aws_secret_key",
        r"(?i)aws[^\n]{0,20}?(?:key|pwd|pw|password|pass|token)[^\n]{0,20}?['\"]([0-9a-z/+]{40})",
    ),
    Rule("slack_token", r"(?i)xox[a-z]-[a-z0-9-]{3,}|xapp-\d-[a-z0-9-]{6,}"),
    Rule("slack_webhook", r"(?i)hooks\.slack\.com/(?:services|workflows|triggers)/([a-z0-9_/]+)"),
    Rule("discord_webhook", r"(?i)discord(?:app)?\.com/api/webhooks/([0-9]+/[a-z0-9_-]+)"),
    Rule(
        "discord_token",
        _EDGE + r"([MNO][a-zA-Z\d_-]{23,25}\.[a-zA-Z\d_-]{6}\.[a-zA-Z\d_-]{27,})",
    ),
    Rule("stripe_key", _EDGE + r"((?:[spr]k_(?:live|test)|whsec)_[0-9A-Za-z]{8,})"),
    Rule("google_api_key", r"AIza[0-9A-Za-z_-]{20,}"),
    Rule("google_oauth", r"ya29\.[0-9A-Za-z_-]{8,}|GOCSPX-[0-9A-Za-z_-]{8,}"),
    Rule("npm_token", r"npm_[A-Za-z0-9]{16,}"),
    Rule("npm_token", rf"_auth(?:Token)?\s*=\s*{_WORD}", _told),
    Rule("pypi_token", r"pypi-Ag[A-Za-z0-9_-]{8,}"),
    Rule("jwt", r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+(?:\.[A-Za-z0-9_.+/=-]*)?"),
    Rule("jwt", rf"(eyJ[A-Za-z0-9_=-]{{20,}}){_CUT}"),
    Rule("azure_key", r"(?i)(?:Account|SharedAccess|Shared)Key=([A-Za-z0-9+/=]{12,})"),
    Rule("azure_key", r"[?&](?:amp;)?sig=([A-Za-z0-9%+/=]{16,})"),
    Rule("azure_key", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{20,}"),
    Rule("twilio_key", _EDGE + r"((?:AC|SK)[a-z0-9]{32})"),
    Rule("sendgrid_key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]*"),
    Rule("mailchimp_key", _EDGE + r"([0-9a-z]{32}-us[0-9]{1,2})"),
    Rule("mailgun_key", _EDGE + r"(key-[0-9a-f]{32})"),
    Rule("telegram_token", _EDGE + r"(\d{8,10}:[0-9A-Za-z_-]{35,})"),
    Rule("square_token", r"sq0(?:csp|atp)-[0-9A-Za-z\\_-]{20,}"),
    Rule("huggingface_token", r"hf_[A-Za-z0-9]{20,}"),
    Rule("vault_token", r"hv[sbr]\.[A-Za-z0-9_-]{16,}"),
    Rule("docker_token", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{8,}"),
    Rule("digitalocean_token", r"do[opr]_v1_[0-9a-f]{16,}"),
    Rule("shopify_token", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{16,}"),
    Rule("databricks_token", _EDGE + r"(dapi[0-9a-f]{32})"),
    Rule("atlassian_token", r"ATATT3[A-Za-z0-9_=-]{16,}"),
    Rule("age_key", r"AGE-SECRET-KEY-1[0-9A-Z]{8,}"),
    Rule("artifactory_token", _EDGE + r"(AKC[a-zA-Z0-9]{10,})"),
    Rule("api_key", _EDGE + r"((?:gsk_|xai-|pplx-|lin_api_|ntn_|NRAK-|PMAK-)[A-Za-z0-9-]{20,})"),
    Rule("softlayer_key", r"(?i)api\.softlayer\.com/soap/v3(?:\.1)?/([a-z0-9]{64})"),
    Rule("url_password", r"""://[^/\s:@"'<>\\]*:([^/\s"'<>\\]+)@""", _told),
    Rule("url_password", rf"""://[^/\s:@"'<>\\]+:([^/\s:@"'<>\\.]+){_CUT}""", _not_a_port),
    Rule("url_password", r"https?://([A-Za-z0-9_.~-]{20,})@", _random),
    Rule(
        "authorization",
        r"(?i)authorization[\"'\\]*\s*[:=]\s*[\"'\\]*"
        r"(?:(?:bearer|basic|token|digest|negotiate|apikey)\s+)?([^\s\"'\\,;]+)",
        _told,
    ),
    Rule("authorization", r"(?i)bearer\s+([A-Za-z0-9_.~+/=-]{12,})", _random),
    Rule("authorization", r"(?i)basic\s+([A-Za-z0-9+/=]{8,})", _basic),
    Rule("cookie", r"""(?i)cookie["'\\]*[:=\s]\s*["'\\]*[\w.-]+=([^"'\\\r\n]+)""", _told),
    Rule("password", rf"(?i)login{_GAP}[^\s\\]+{_GAP}password{_GAP}{_WORD}", _told),
    Rule("password", _option(r"sshpass|mongo[a-z]*|sqlcmd", r"-[pP]\s*[\"']?"), _told),
    Rule("password", _option(r"(?:mysql|mariadb)[a-z-]*", r"-p[\"']?"), _told),
    Rule("password", _option(r"(?:docker|podman|helm|oc|az).{0,20}?login", r"-p\s+[\"']?"), _told),
    Rule("password", _option(r"redis-cli", r"-a\s+[\"']?"), _told),
    Rule("password", _option(r"ldap[a-z]+", r"-w\s*[\"']?"), _told),
    Rule(
        "password",
        _option(r"curl", r"(?:-u|-U|--user|--proxy-user)[\s=]*[\"']?[^\s:\"'\\]+:"),
        _told,
    ),
    Rule("password", rf"-pass(?:in|out)?\s+pass:{_WORD}"),
    Rule(
        "secret",
        rf"(?i)--?(?:[a-z0-9]+[-_])*(?:{_PASSWORDS}|pass|{_KEY}|{_HARMLESS})(?:\s+|=){_VALUE}",
        _told,
    ),
    Rule(
        "secret",
        rf"(?i)(?:{_PASSWORDS}|{_KEY}|{_HARMLESS}){_ENCODED}[\"'\\]*\s*(?::=|=>|==?|:)\s*{_VALUE}",
        _assigned,
    ),
)
"""In the order in which they are applied: the telling kinds before the names of values."""


def _no_git_remote(found: Found) -> bool:
    return not found.secret.startswith(b"git@")


EMAIL = Rule(
    "email",
    r"[A-Za-z0-9._%+-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,}",
    _no_git_remote,
)
