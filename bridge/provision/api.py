"""Langfuse's routes of dashboards and widgets: what they answer as records, failures in words.

Responsible for paging, for waiting where Langfuse limits how many requests it takes, and for saying
what a person should do about any other answer. Leaves keys, proxies and time limits to
``bridge.langfuse.client``.

Nothing is tried again by itself but what was refused for its rate: Langfuse takes the same name
twice, so a request that may have been stored must not be repeated blindly. The next run looks.
"""

import asyncio
import http
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from bridge.errors import BridgeError
from bridge.langfuse.client import PROJECTS_PATH, Document, LangfuseClient
from bridge.langfuse.retry import AnswerClass, classify, retry_after_s
from bridge.provision.panels import Chart, Json
from bridge.provision.shapes import Dashboard, Project, Widget, is_candidate

DASHBOARDS_PATH = "/api/public/unstable/dashboards"
WIDGETS_PATH = "/api/public/unstable/dashboard-widgets"
PER_PAGE = 100
MOST_PAGES = 100
MOST_WAITS = 10
"""For one request; the limits of Langfuse Cloud are counted by the minute."""
USUAL_WAIT_S = 60.0
LONGEST_WAIT_S = 120.0

Sleep = Callable[[float], Coroutine[Any, Any, None]]
Tell = Callable[[str], None]

REMEDIES: Mapping[int, str] = {
    401: "it does not know the keys; check LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and that "
    "LANGFUSE_BASE_URL is their region",
    403: "the keys may not do this; use those of a project, not of an organisation",
    404: "this server has no API for dashboards, or LANGFUSE_BASE_URL is not the address of "
    "Langfuse; 4.16.0 has it. Everything else of the bridge works without: update Langfuse, or "
    "make the charts by hand",
}
CHANGED_MEANWHILE = "somebody deleted it at this moment; look again with the next run"
USUAL_REMEDY = "check LANGFUSE_BASE_URL, the network and the Langfuse server"


class Refusal(msgspec.Struct, frozen=True, rename="camel"):
    """What Langfuse says of a request that is wrong."""

    class Details(msgspec.Struct, frozen=True, rename="camel"):
        """Which field it is about, and what it may be."""

        field: str = ""
        allowed_values: tuple[str, ...] = ()

    details: Details = msgspec.field(default_factory=Details)


class AnswerError(BridgeError):
    """Langfuse's answer to a request of ours is not the one needed.

    Attributes:
        status: None: there was none.
    """

    def __init__(self, text: str, status: int | None) -> None:
        super().__init__(text)
        self.status = status


class DashboardApi:
    """The routes, for one project.

    Args:
        client: Of ``bridge.langfuse.client.connect``.
        tell: Gets a sentence when there is something to wait for.
        sleep: Waits that many seconds.
    """

    def __init__(self, client: LangfuseClient, tell: Tell, sleep: Sleep = asyncio.sleep) -> None:
        self._client = client
        self._tell = tell
        self._sleep = sleep

    async def project_id(self) -> str:
        """The id of the keys' project, which links need."""
        found = await self._call("GET", PROJECTS_PATH)
        try:
            return str(found["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise _unreadable(PROJECTS_PATH) from None

    async def read_project(self) -> Project:
        """All widgets, and the dashboards that may be ours."""
        listed = await self._list(DASHBOARDS_PATH)
        named = [each for each in listed if is_candidate(_text(each, "name", DASHBOARDS_PATH))]
        ids = [_text(each, "id", DASHBOARDS_PATH) for each in named]
        # One by one: whether a list has the tiles is nowhere promised.
        found = [await self._call("GET", f"{DASHBOARDS_PATH}/{each}") for each in ids]
        widgets = await self._list(WIDGETS_PATH)
        return Project(
            dashboards=tuple(_dashboard(each) for each in found),
            widgets=tuple(_widget(each) for each in widgets),
        )

    async def create_widget(self, chart: Chart) -> str:
        """Its id."""
        made = await self._call("POST", WIDGETS_PATH, msgspec.to_builtins(chart))
        return _text(made, "id", WIDGETS_PATH)

    async def change_widget(self, widget_id: str, chart: Chart) -> None:
        """Replace all that it shows."""
        await self._call("PATCH", f"{WIDGETS_PATH}/{widget_id}", msgspec.to_builtins(chart))

    async def delete_widget(self, widget_id: str) -> None:
        """Delete it, unless it is gone already or still on somebody's dashboard."""
        try:
            await self._call("DELETE", f"{WIDGETS_PATH}/{widget_id}")
        except AnswerError as error:
            if error.status not in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT}:
                raise

    async def create_dashboard(self, body: Json) -> str:
        """Its id."""
        return _text(await self._call("POST", DASHBOARDS_PATH, body), "id", DASHBOARDS_PATH)

    async def change_tiles(self, dashboard_id: str, tiles: list[Json]) -> None:
        """Replace its tiles; name, description and filters stay."""
        body = {"definition": {"widgets": tiles}}
        await self._call("PATCH", f"{DASHBOARDS_PATH}/{dashboard_id}", body)

    async def _list(self, path: str) -> list[Json]:
        found: list[Json] = []
        for page in range(1, MOST_PAGES + 1):
            answer = await self._call("GET", f"{path}?page={page}&limit={PER_PAGE}")
            try:
                found.extend(answer["data"])
                last_page = answer["meta"]["totalPages"]
            except (KeyError, TypeError):
                raise _unreadable(path) from None
            if page >= last_page:
                return found
        raise BridgeError(f"the project has more than {MOST_PAGES * PER_PAGE} widgets: too many")

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Raises ``AnswerError`` for any answer that is not a JSON object with a 2xx."""
        encoded = None if body is None else msgspec.json.encode(body)
        document = await self._client.call(method, path, encoded)
        for _ in range(MOST_WAITS):
            if classify(document.answer.status) is not AnswerClass.LIMITED:
                break
            await self._wait(document)
            document = await self._client.call(method, path, encoded)
        if classify(document.answer.status) is not AnswerClass.TAKEN:
            raise _failure(method, path, document)
        return _decoded(path, document.body)

    async def _wait(self, document: Document) -> None:
        after_s = min(retry_after_s(document.answer) or USUAL_WAIT_S, LONGEST_WAIT_S)
        self._tell(f"Langfuse's rate limit is reached; going on in {after_s:.0f} s")
        await self._sleep(after_s)


def _decoded(path: str, body: bytes) -> Json:
    try:
        return msgspec.json.decode(body or b"{}", type=Json)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _unreadable(path) from None


def _text(found: Json, name: str, path: str) -> str:
    text = found.get(name)
    if not isinstance(text, str):
        raise _unreadable(path)
    return text


def _widget(found: Json) -> Widget:
    try:
        chart = msgspec.convert(found, Chart)
        return Widget(id=found["id"], created_at=found["createdAt"], chart=chart)
    except (KeyError, msgspec.ValidationError):
        raise _unreadable(WIDGETS_PATH) from None


def _dashboard(found: Json) -> Dashboard:
    try:
        tiles = tuple(found["definition"]["widgets"])
        name, created_at = found["name"], found["createdAt"]
        return Dashboard(id=found["id"], name=name, created_at=created_at, tiles=tiles)
    except (KeyError, TypeError):
        raise _unreadable(DASHBOARDS_PATH) from None


def _unreadable(path: str) -> AnswerError:
    return AnswerError(
        f"Langfuse's answer at {path} is not what 4.16.0 answers; is there a newer "
        "langfuse-bridge? Nothing depends on these dashboards: the bridge goes on delivering",
        None,
    )


def _failure(method: str, path: str, document: Document) -> AnswerError:
    answer = document.answer
    route = path.partition("?")[0]
    if answer.status is None:
        text = f"Langfuse cannot be reached: {answer.error}; {USUAL_REMEDY}"
        return AnswerError(text, None)
    words = " ".join(filter(None, (answer.error, _allowed(document.body))))
    said = f' It says: "{words}".' if words else ""
    remedy = REMEDIES.get(answer.status, USUAL_REMEDY)
    if answer.status == http.HTTPStatus.NOT_FOUND and method != "GET":
        remedy = CHANGED_MEANWHILE
    text = f"Langfuse answered {answer.status} to {method} {route}.{said} What to do: {remedy}"
    return AnswerError(text, answer.status)


def _allowed(body: bytes) -> str:
    """The values that Langfuse would have taken, which it is good at naming."""
    try:
        details = msgspec.json.decode(body, type=Refusal).details
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    values = ", ".join(details.allowed_values)
    return f"{details.field} may be: {values}" if values else ""
