"""The person is told as the team wants: plainly, by a pseudonym, or not at all."""

from pathlib import Path

import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.decode.identity import Identity, is_person
from bridge.decode.privacy import Privacy
from bridge.decode.redaction import Redactor
from bridge.errors import StoreError
from bridge.store.user_key import kept_user_key
from tests.builders import RESOURCE, a_prompt, a_record, a_request
from tests.pipeline import Pipeline, Seen, batch, of_prompts

EMAIL = "Ann.Lee@example.com"
ACCOUNT = "0a1b2c3d-aaaa-4bbb-8ccc-1234567890ab"
INSTALLATION = "f" * 64
PERSON = {"user.email": EMAIL, "user.account_uuid": ACCOUNT, "enduser.id": "ann-lee"}
KEY = b"k" * 32


def spans(
    folder: Path, user: str, *, session: str | None = "s-1", member: str = EMAIL
) -> list[Seen]:
    """A prompt of a person, whose raw body and texts tell who it was; what is sent of it."""
    folder.mkdir(exist_ok=True)
    made = Pipeline(folder, user=user, user_key="k" * 32)
    around = {"session": session, "resource": RESOURCE | {"member": member}}
    body = f'{{"metadata": {{"user_id": "user_{INSTALLATION}_account_{ACCOUNT}"}}}}'
    made.post(
        batch(
            [
                a_prompt(0, f"I am {EMAIL}", PERSON, **around),
                a_record("api_request_body", 50, {"body": body, **PERSON}, **around),
                a_request(100, more=PERSON, **around),
                a_record("never_heard_of", 120, PERSON | {"whoami": EMAIL}, **around),
            ]
        )
    )
    made.finish(1_795_000_000_000)
    found = made.spans()
    made.close()
    return found


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("ledger.db*")))


@pytest.mark.parametrize("user", ["hash", "omit"])
@pytest.mark.parametrize("session", ["s-1", None])
def test_no_value_that_names_the_person_is_sent_or_kept(
    tmp_path: Path, user: str, session: str | None
) -> None:
    sent = b"".join(span.span for span in spans(tmp_path, user, session=session))
    assert sent
    for told in (EMAIL, EMAIL.lower(), ACCOUNT, INSTALLATION, "ann-lee"):
        assert told.encode() not in sent
        assert told.encode() not in kept(tmp_path)


@pytest.mark.parametrize("user", ["hash", "omit"])
def test_a_person_told_in_a_list_is_one_too(tmp_path: Path, user: str) -> None:
    made = Pipeline(tmp_path, user=user)
    told = {"user.id": None, "user.email": [EMAIL], "enduser.id": ["ann-lee", [ACCOUNT]]}
    made.post(batch([a_prompt(0, more=told), a_record("never_heard_of", 20, told)]))
    made.finish(1_795_000_000_000)
    sent = b"".join(span.span for span in made.spans())
    made.close()

    assert sent
    for person in (EMAIL, EMAIL.lower(), ACCOUNT, "ann-lee"):
        assert person.encode() not in sent


def test_hash_tells_one_pseudonym_for_one_person(tmp_path: Path) -> None:
    alike = Identity(KEY, omits=False).pseudonym(EMAIL.upper())
    users = {span.attributes.get("langfuse.user.id") for span in spans(tmp_path, "hash")}
    assert users == {alike}
    assert Identity(b"other", omits=False).pseudonym(EMAIL) != alike


def test_omit_tells_no_user_and_leaves_the_teams_own_names(tmp_path: Path) -> None:
    named = spans(tmp_path / "named", "omit", member="alex")
    unnamed = spans(tmp_path / "unnamed", "omit")
    assert {span.attributes.get("langfuse.user.id") for span in named} == {"alex"}
    assert {span.attributes.get("langfuse.user.id") for span in unnamed} == {None}
    assert b"user-" not in b"".join(span.span for span in unnamed)


@pytest.mark.parametrize("user", ["hash", "omit"])
def test_installations_without_session_ids_stay_apart(tmp_path: Path, user: str) -> None:
    made = Pipeline(tmp_path, user=user)
    for letter in "ab":
        record = a_prompt(0, letter, {"user.id": letter * 64}, session=None, prompt=None)
        made.post(batch([record]))
        made.step(1_795_000_000_000)
        made.restart()
    made.finish(1_795_000_000_000)
    assert len({span.trace_id for span in of_prompts(made.spans())}) == 2
    made.close()


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "user.key"
    assert kept_user_key(path) == kept_user_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("half")
    with pytest.raises(StoreError, match="put it back from a backup"):
        kept_user_key(path)


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("user.email", True), ("user.account_id", True), ("enduser.id", True), ("userId", True),
        ("ai.telemetry.metadata.user_id", True), ("user.groups", False), ("member", False),
        ("organization.id", False), ("user_prompt", False), ("user_agent.original", False),
    ],
)  # fmt: skip
def test_persons_are_known_by_the_names_of_attributes(name: str, *, person: bool) -> None:
    assert is_person(name) is person


@pytest.mark.parametrize("omits", [False, True])
def test_spans_of_other_programs_lose_persons_and_secrets_everywhere(*, omits: bool) -> None:
    token = "ghp_" + "a1" * 18
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name=f"GET /?key={token}")
    resource = Resource(attributes=[_pair("user.email", EMAIL)])
    span.attributes.extend([_pair("note", f"by {EMAIL}"), _pair(token, "x"), _pair("token", token)])
    span.events.add(name=token).attributes.append(_pair("password", "x1"))
    span.links.add(trace_state=token)
    span.status.message = f"{token} is wrong"
    found = Privacy(Redactor(), Identity(KEY, omits=omits)).guard_messages(span, resource)
    told = span.SerializeToString() + resource.SerializeToString()
    assert not any(text.encode() in told for text in (token, EMAIL, "x1"))
    assert found["github_token"] == 5
    assert (b"user-" in told) is not omits
    assert span.trace_id == b"t" * 16


def _pair(key: str, value: str) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.string_value = value
    return pair
