"""OTLP over gRPC: the shell that takes messages and sends answers.

Responsible for: one port, with or without TLS, the three ``Export`` methods, that a message's
bytes are kept as they came (inflated, nothing decoded), and that every call is answered.
Left to others: who may send (``access``), looking through a body (``records``), committing
(``intake``), certificates (``tls``).

Claude Code tries nothing again over gRPC, whatever the answer says, so http/protobuf is the safer
choice for it; other exporters do, and go by the code and its RetryInfo.

gRPC's core opens its port itself and takes no socket from outside, so this port refuses
connections from the end of one receiver to the start of the next. A listening socket that the
supervisor held beside it (SO_REUSEPORT) would be worse: it would be given a share of the
connections and answer none.
"""

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # it has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs

from bridge.clock import Clock
from bridge.errors import BridgeError, IntakeUnavailableError, UndecodableError
from bridge.model.requests import Encoding, Signal
from bridge.receive import records
from bridge.receive.access import Access, Sender
from bridge.receive.budget import Budget
from bridge.receive.connections import MAX_CONNECTIONS
from bridge.receive.http import (
    FINISH_TIMEOUT_S,
    LARGE_BODY_BYTES,
    RETRY_AFTER_S,
    AcceptsRequests,
)
from bridge.receive.journal import note, note_failure
from bridge.receive.request import MAX_BODY_BYTES, Head, Refusal, RefusedError, check_number
from bridge.receive.response import EMPTY_RESPONSE, Answered, told_nobody
from bridge.receive.tls import Certificates, Identity

SERVICES: Final[Mapping[Signal, str]] = {
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
}

METHODS: Final = {f"/{service}/Export": signal for signal, service in SERVICES.items()}

STATUS_DETAILS: Final = "grpc-status-details-bin"
"""Trailer of a google.rpc.Status: where clients look for RetryInfo."""

LARGEST_LIMIT_BYTES: Final = 2**31 - 1
"""gRPC keeps its limit in 32 bits; no message can be larger in any case."""

MAX_CALLS: Final = 1_024
"""At once, over all connections; the core answers RESOURCE_EXHAUSTED beyond it. Far above what a
thousand exporters have open at a time, since to a client without RetryInfo that means "lost"."""

BOUNDS: Final = (
    ("grpc.max_concurrent_streams", 100),  # of one connection; an exporter has a few
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_connection_idle_ms", 300_000),
    # A message that never ends keeps its connection from being idle; only age ends it. Clients are
    # told to open another one first, so nothing is lost.
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
)
"""The core's own ways to close what is slow or idle."""

Call = grpc.aio.ServicerContext[bytes, bytes]
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"


async def serve(
    intake: AcceptsRequests,
    clock: Clock,
    address: str,
    *,
    budget: Budget | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    access: Access | None = None,
    refused: Counter[str] | None = None,
    took: Answered = told_nobody,
    max_connections: int = MAX_CONNECTIONS,
    certificates: Certificates | None = None,
) -> "Exporting":
    """Listen for exports; ends with ``close``.

    Args:
        intake: Where accepted requests go.
        clock: Stamps requests.
        address: ``host:port``, an IPv6 host in brackets; port 0 takes any free one.
        budget: What large messages may hold together, if others draw on it too.
        max_body_bytes: Largest message, on the wire and inflated.
        access: Who may send; without it, everybody.
        refused: Counts refusals by their reason, if given.
        took: Is told how each call was answered, and how long that took.
        max_connections: More are closed at once.
        certificates: With TLS, and then with nothing else; looked at again at each handshake.

    Raises:
        BridgeError: The address cannot be listened on.
    """
    # The core inflates, stops where the limit is reached, and answers RESOURCE_EXHAUSTED itself.
    limit = ("grpc.max_receive_message_length", min(max_body_bytes, LARGEST_LIMIT_BYTES))
    connections = ("grpc.max_allowed_incoming_connections", max_connections)
    server = grpc.aio.server(
        options=[limit, connections, *BOUNDS], maximum_concurrent_rpcs=MAX_CALLS
    )
    exporting = Exporting(
        server,
        intake,
        clock,
        budget=budget or Budget(max_body_bytes),
        access=access or Access(clock),
        refused=Counter() if refused is None else refused,
        took=took,
    )
    try:
        exporting.port = _add_port(server, address, certificates)
    except RuntimeError as error:
        raise BridgeError(f"cannot listen on {address} for gRPC: {error}") from error
    await server.start()
    return exporting


def _add_port(server: grpc.aio.Server, address: str, certificates: Certificates | None) -> int:
    if certificates is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, _credentials(certificates))


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Credentials that follow ``certificates``; the core asks at each handshake."""
    told = certificates.current

    def news() -> grpc.ServerCertificateConfiguration | None:
        nonlocal told
        if told is certificates.current:
            return None
        told = certificates.current
        return _configuration(told)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(told),
        news,  # type: ignore[arg-type]  # None, "nothing new", is left out of the stubs
        require_client_authentication=told.client_ca is not None,
    )


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.cert)], root_certificates=identity.client_ca
    )


class _Failure(NamedTuple):
    """How a call ends that was not accepted. The text never repeats content."""

    code: grpc.StatusCode
    text: str
    trailers: tuple[tuple[str, bytes], ...] = ()


class Exporting:
    """A gRPC server that takes exports, until it is closed.

    Attributes:
        port: Where it listens.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        intake: AcceptsRequests,
        clock: Clock,
        *,
        budget: Budget,
        access: Access,
        refused: Counter[str],
        took: Answered = told_nobody,
    ) -> None:
        self.port = 0
        self._server = server
        self._intake = intake
        self._budget = budget
        self._clock = clock
        self._access = access
        self._refused = refused
        self._took = took
        self._check_thread = ThreadPoolExecutor(1, thread_name_prefix="receive-grpc-check")
        server.add_generic_rpc_handlers([_Door(self._handler)])

    async def close(self) -> None:
        """Stop listening, then finish open calls within ``FINISH_TIMEOUT_S``."""
        await self._server.stop(FINISH_TIMEOUT_S)
        self._check_thread.shutdown()

    def _handler(self, signal: Signal, metadata: Mapping[str, str]) -> Handler:
        """What takes a call of these metadata: decided before its message is read."""
        try:
            sender = self._access.admit(metadata)
        except RefusedError as refused:
            self._count_refusal(refused.refusal)
            return self._refusing(_refused(refused))
        except Exception as error:  # noqa: BLE001 - the root of a call
            note_failure(error)
            return self._refusing(_unavailable(RETRY_AFTER_S))
        # Without a deserializer the handler is given the message's bytes.
        return grpc.unary_unary_rpc_method_handler(functools.partial(self._export, signal, sender))

    def _refusing(self, failure: _Failure) -> Handler:
        self._took(failure.code.name, 0.0)
        return _refusing(failure)

    def _count_refusal(self, refusal: Refusal) -> None:
        self._refused[refusal.value] += 1
        note(logging.DEBUG, "receive.refused", reason=refusal)

    async def _export(self, signal: Signal, sender: Sender, body: bytes, call: Call) -> bytes:
        began_s = time.monotonic()
        failure = await self._failure(signal, sender, body)
        code = grpc.StatusCode.OK if failure is None else failure.code
        self._took(code.name, time.monotonic() - began_s)
        if failure is not None:
            await call.abort(*failure)
        return EMPTY_RESPONSE[Encoding.PROTOBUF]

    async def _failure(self, signal: Signal, sender: Sender, body: bytes) -> _Failure | None:
        """Accept an export request, or say why not."""
        try:
            with self._budget.share() as share:
                share.grow(len(body))  # the core has read it: what does not fit is let go at once
                await self._accept(signal, sender, body)
        except UndecodableError as undecodable:
            self._count_refusal(Refusal.MALFORMED)
            return _Failure(grpc.StatusCode.INVALID_ARGUMENT, f"The message is {undecodable}.")
        except RefusedError as refused:
            self._count_refusal(refused.refusal)
            return _Failure(grpc.StatusCode.INVALID_ARGUMENT, str(refused))
        except IntakeUnavailableError as unavailable:
            return _unavailable(unavailable.retry_after_s)
        except Exception as error:  # noqa: BLE001 - the root of a call
            note_failure(error)
            return _unavailable(RETRY_AFTER_S)
        return None

    async def _accept(self, signal: Signal, sender: Sender, body: bytes) -> None:
        counted = await self._count(signal, body)
        check_number(counted)
        if counted:
            head = Head(signal=signal, encoding=Encoding.PROTOBUF, gzipped=False)
            now_ms = self._clock.now_ms()
            await self._intake.append(sender.request(head, body, counted, now_ms))

    async def _count(self, signal: Signal, body: bytes) -> int:
        if len(body) <= LARGE_BODY_BYTES:
            return records.count(signal, Encoding.PROTOBUF, body)
        return await asyncio.get_running_loop().run_in_executor(
            self._check_thread, records.count, signal, Encoding.PROTOBUF, body
        )


class _Door(grpc.GenericRpcHandler):
    """Finds what takes a call, from its head."""

    def __init__(self, handler: Callable[[Signal, Mapping[str, str]], Handler]) -> None:
        self._handler = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """None for a method that is not ours, which gRPC answers UNIMPLEMENTED."""
        signal = METHODS.get(handler_call_details.method)
        if signal is None:
            return None
        metadata = handler_call_details.invocation_metadata or ()
        texts = {key: value for key, value in metadata if isinstance(value, str)}
        return self._handler(signal, texts)


def _refusing(failure: _Failure) -> Handler:
    """What ends a call without reading its message.

    Of a stream of messages none is read until somebody asks for it; on the wire, one message is a
    stream of one.
    """

    async def refuse(_: object, call: Call) -> bytes:
        return await call.abort(*failure)

    return grpc.stream_unary_rpc_method_handler(refuse)


def _refused(refused: RefusedError) -> _Failure:
    if refused.retry_after_s:
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        return _come_again(code, str(refused), refused.retry_after_s)
    return _Failure(grpc.StatusCode.UNAUTHENTICATED, str(refused))


def _unavailable(retry_after_s: int) -> _Failure:
    """UNAVAILABLE: nothing is wrong with the request, and nothing of it was kept."""
    text = f"The request could not be stored now; send it again after {retry_after_s} s."
    return _come_again(grpc.StatusCode.UNAVAILABLE, text, retry_after_s)


def _come_again(code: grpc.StatusCode, text: str, retry_after_s: int) -> _Failure:
    number, _ = code.value
    detail = Any()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=retry_after_s)))
    status = Status(code=number, message=text, details=[detail])
    return _Failure(code, text, ((STATUS_DETAILS, status.SerializeToString()),))
