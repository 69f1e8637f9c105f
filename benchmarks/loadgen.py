"""Workload generator for OTLP bridges that receive Claude Code telemetry.

Standard library only (uvloop is used by `send` when present and --uvloop is given).

What it models
  N sessions x P prompts.  A prompt is one `user_prompt`, about 3 `api_request`,
  about 4 pairs of `tool_decision` + `tool_result` and now and then an `api_error`:
  about 12 log records, each with the 15-22 attributes Claude Code puts on it, under a
  resource with service.*, host.*, os.* and OTEL_RESOURCE_ATTRIBUTES (member, department).
  Sessions are interleaved: --open of them are in progress at any moment.

  profile `client`   one POST = one ResourceLogs of ONE session, 1..50 records
                     (what a Claude Code process sends each OTEL_LOGS_EXPORT_INTERVAL)
  profile `gateway`  one POST = many such ResourceLogs concatenated up to --batch records
                     (what an OpenTelemetry collector's batch processor forwards)
  profile `metrics`  one POST = one ResourceMetrics (token.usage x4, cost.usage, ... )

Commands
  make   write a corpus file (framed request bodies) and, with --expect, the ground truth
         (traces, generations, tools, tokens, cost in micro-dollars) as JSON
  send   replay a corpus over HTTP/1.1 keep-alive, closed loop, or open loop with --rate
         (latency is then counted from the time a request was DUE: no coordinated omission)
  info   print what a corpus holds

Corpus file: 8-byte magic, u32 header length, JSON header, then frames of
  u32 body length | u8 kind (0 logs, 1 metrics) | u32 records | u32 session index | body
A session's frames always go out on one connection and in order (as with a real client).

  loadgen.py make --profile client --encoding protobuf --records 100000 --out c.bin
  loadgen.py send c.bin --url http://127.0.0.1:4318 --connections 32 --rate 500
"""
from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import random
import struct
import sys
import time
import urllib.parse
import uuid

MAGIC = b"OTLPLG1\n"
FRAME = struct.Struct(">IBII")
MODELS = ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")
TOOLS = ("Read", "Edit", "Bash", "Grep", "Glob", "Write", "Task", "WebFetch", "mcp_tool")
T0 = 1_780_000_000_000_000_000  # fixed epoch: corpora are reproducible byte for byte


# ------------------------------------------------------------------ events
class Session:
    """One Claude Code process; `events()` yields (time_ns, event name, attributes)."""

    def __init__(self, idx: int, seed: int, prompts: int, numbers: str, content: bool):
        self.rng = random.Random(seed * 1_000_003 + idx)
        r = self.rng
        self.idx, self.prompts, self.numbers, self.content = idx, prompts, numbers, content
        self.sid = str(uuid.UUID(int=r.getrandbits(128), version=4))
        member = idx % 500
        org = str(uuid.UUID(int=random.Random(member % 7).getrandbits(128), version=4))
        acct = str(uuid.UUID(int=random.Random(member).getrandbits(128), version=4))
        self.resource = (
            ("host.arch", ("amd64", "arm64")[member % 2]), ("os.type", ("linux", "darwin")[member % 2]),
            ("os.version", ("6.8.0-45-generic", "24.5.0")[member % 2]),
            ("service.name", "claude-code"), ("service.version", f"2.1.{member % 12 + 40}"),
            ("member", f"dev{member:04d}"), ("department", f"dept-{member % 23}"))
        self.scope = ("com.anthropic.claude_code.events", self.resource[4][1])
        self.common = (
            ("user.id", hashlib.sha256(str(member).encode()).hexdigest()), ("session.id", self.sid),
            ("organization.id", org), ("user.email", f"dev{member:04d}@example.com"),
            ("user.account_uuid", acct), ("user.account_id", "user_" + acct[:13].replace("-", "")),
            ("terminal.type", ("vscode", "iTerm.app", "xterm-256color")[member % 3]))
        self.seq = 0
        self.t = T0 + idx * 1_000_000 + r.randrange(10**9)

    def num(self, v):
        return v if self.numbers == "typed" else str(v)

    def _ev(self, name, prompt_id, extra):
        t, self.seq = self.t, self.seq + 1
        ms = t // 1_000_000
        iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + ".%03dZ" % (ms % 1000)
        return (t, name, (("event.name", name), ("event.timestamp", iso),
                          ("event.sequence", self.seq), ("prompt.id", prompt_id), *extra))

    def events(self):
        r, num = self.rng, self.num
        for _ in range(self.prompts):
            pid = str(uuid.UUID(int=r.getrandbits(128), version=4))
            n = r.randrange(20, 600)
            text = "".join(("Please look at the failing test and fix it. " * 14)[:n]) if self.content else "<REDACTED>"
            yield self._ev("user_prompt", pid, (("prompt_length", num(n)), ("prompt", text)))
            model = MODELS[0 if r.random() < .5 else 1]
            for _ in range(r.choice((2, 3, 3, 4))):
                dur = r.randrange(600, 20000)
                self.t += dur * 1_000_000
                m = MODELS[2] if r.random() < .15 else model
                if r.random() < .02:
                    yield self._ev("api_error", pid, (
                        ("model", m), ("error", "Overloaded"), ("status_code", num(529)),
                        ("duration_ms", num(dur)), ("attempt", num(r.randrange(1, 5)))))
                    continue
                yield self._ev("api_request", pid, (
                    ("model", m), ("input_tokens", num(r.randrange(3, 3000))),
                    ("output_tokens", num(r.randrange(5, 2500))),
                    ("cache_read_tokens", num(r.randrange(0, 150000))),
                    ("cache_creation_tokens", num(r.randrange(0, 12000))),
                    ("cost_usd", num(r.randrange(100, 900000) / 1e6)), ("duration_ms", num(dur)),
                    ("request_id", "req_011C%020x" % r.getrandbits(80)), ("speed", "normal"),
                    ("query_source", "repl_main_thread")))
            for _ in range(r.choice((3, 4, 4, 5))):
                tool = TOOLS[min(int(r.expovariate(.5)), len(TOOLS) - 1)]
                use = "toolu_01%022x" % r.getrandbits(88)
                self.t += 3_000_000
                yield self._ev("tool_decision", pid, (
                    ("decision", "accept"), ("source", "config"), ("tool_name", tool), ("tool_use_id", use)))
                dur = r.randrange(2, 9000)
                self.t += dur * 1_000_000
                path = "/home/dev/src/project/module_%d/file_%d.py" % (r.randrange(40), r.randrange(400))
                par = json.dumps({"bash_command": "pytest", "full_command": "pytest -x -q " + path, "timeout": 120000,
                                  "description": "Run the unit tests of one module", "sandbox": True} if tool == "Bash"
                                 else {"file_path": path, "limit": r.randrange(2000)})
                yield self._ev("tool_result", pid, (
                    ("tool_name", tool), ("tool_use_id", use), ("success", "true" if r.random() < .95 else "false"),
                    ("duration_ms", num(dur)), ("tool_parameters", par), ("tool_input", par),
                    ("tool_result_size_bytes", num(r.randrange(20, 40000))),
                    ("decision_source", "config"), ("decision_type", "accept")))
            self.t += r.randrange(5, 120) * 10**9


# ------------------------------------------------------------------ encoders
def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _ld(tag: bytes, body: bytes) -> bytes:
    return tag + _varint(len(body)) + body


class Protobuf:
    ctype = "application/x-protobuf"

    @staticmethod
    def any(v) -> bytes:
        if isinstance(v, str):
            return _ld(b"\x0a", v.encode())
        if isinstance(v, int):
            return b"\x18" + _varint(v)
        return b"\x21" + struct.pack("<d", v)

    def kv(self, k, v, tag=b"\x32") -> bytes:
        return _ld(tag, _ld(b"\x0a", k.encode()) + _ld(b"\x12", self.any(v)))

    def common(self, s: Session):
        if not hasattr(s, "_pb"):
            s._pb = (_ld(b"\x0a", b"".join(self.kv(k, v, b"\x0a") for k, v in s.resource)),
                     _ld(b"\x0a", _ld(b"\x0a", s.scope[0].encode()) + _ld(b"\x12", s.scope[1].encode())),
                     b"".join(self.kv(k, v) for k, v in s.common))
        return s._pb

    def resource_logs(self, s: Session, evs) -> bytes:
        res, scope, common = self.common(s)
        recs = []
        for t, name, attrs in evs:
            ts = struct.pack("<Q", t)
            recs.append(_ld(b"\x12", b"\x09" + ts + _ld(b"\x2a", self.any("claude_code." + name)) + common
                            + b"".join(self.kv(k, v) for k, v in attrs) + b"\x59" + ts))
        return _ld(b"\x0a", res + _ld(b"\x12", scope + b"".join(recs)))

    def resource_metrics(self, s: Session, metrics) -> bytes:
        res, scope, _ = self.common(s)
        ms = []
        for name, unit, points in metrics:
            pts = b"".join(_ld(b"\x0a", b"\x11" + struct.pack("<Q", t0) + b"\x19" + struct.pack("<Q", t1)
                               + b"\x21" + struct.pack("<d", v)
                               + b"".join(self.kv(k, x, b"\x3a") for k, x in attrs)) for t0, t1, v, attrs in points)
            ms.append(_ld(b"\x12", _ld(b"\x0a", name.encode()) + _ld(b"\x1a", unit.encode())
                          + _ld(b"\x3a", pts + b"\x10\x01\x18\x01")))
        return _ld(b"\x0a", res + _ld(b"\x12", scope + b"".join(ms)))

    @staticmethod
    def request(kind: int, parts) -> bytes:
        return b"".join(parts)


class Json:
    ctype = "application/json"

    @staticmethod
    def kv(k, v):
        t = {"stringValue": v} if isinstance(v, str) else {"intValue": v} if isinstance(v, int) else {"doubleValue": v}
        return {"key": k, "value": t}

    def common(self, s):
        if not hasattr(s, "_js"):
            s._js = ({"attributes": [self.kv(*a) for a in s.resource], "droppedAttributesCount": 0},
                     {"name": s.scope[0], "version": s.scope[1]}, [self.kv(*a) for a in s.common])
        return s._js

    def resource_logs(self, s, evs):
        res, scope, common = self.common(s)
        recs = [{"timeUnixNano": str(t), "observedTimeUnixNano": str(t),
                 "body": {"stringValue": "claude_code." + n},
                 "attributes": common + [self.kv(k, v) for k, v in a], "droppedAttributesCount": 0} for t, n, a in evs]
        return json.dumps({"resource": res, "scopeLogs": [{"scope": scope, "logRecords": recs}]},
                          separators=(",", ":")).encode()

    def resource_metrics(self, s, metrics):
        res, scope, _ = self.common(s)
        ms = [{"name": n, "unit": u, "description": "", "sum": {
            "aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [
                {"startTimeUnixNano": str(a), "timeUnixNano": str(b), "asDouble": v,
                 "attributes": [self.kv(k, x) for k, x in at]} for a, b, v, at in pts]}} for n, u, pts in metrics]
        return json.dumps({"resource": res, "scopeMetrics": [{"scope": scope, "metrics": ms}]},
                          separators=(",", ":")).encode()

    @staticmethod
    def request(kind, parts):
        return (b'{"resourceLogs":[' if kind == 0 else b'{"resourceMetrics":[') + b",".join(parts) + b"]}"


ENCODERS = {"protobuf": Protobuf, "json": Json}


# ------------------------------------------------------------------ workload
class Truth(dict):
    """Ground truth of what was generated, for checking a bridge's output."""

    def add(self, s, name, attrs):
        d = dict(attrs)
        self[name] = self.get(name, 0) + 1
        if name == "api_request":
            for k in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens"):
                self[k] = self.get(k, 0) + int(d[k])
            self["cost_microusd"] = self.get("cost_microusd", 0) + round(float(d["cost_usd"]) * 1e6)


def chunks(a, truth=None):
    """Yield (session, [events]) with --open sessions interleaved, till --records records."""
    rng = random.Random(a.seed)
    left, nxt, active = a.records, 0, []
    while left > 0:
        while len(active) < a.open and (a.sessions == 0 or nxt < a.sessions):
            s = Session(nxt, a.seed, a.prompts, a.numbers, a.content)
            active.append((s, s.events()))
            nxt += 1
        if not active:
            return
        i = rng.randrange(len(active))
        s, it = active[i]
        k = min(left, 1 + min(int(rng.expovariate(1 / max(a.mean - 1, .01))), a.max - 1))
        evs = [e for _, e in zip(range(k), it)]
        if len(evs) < k:
            active[i] = active[-1]
            active.pop()
        if not evs:
            continue
        left -= len(evs)
        if truth is not None:
            truth["sessions"] = nxt
            for t, n, at in evs:
                truth.add(s, n, at)
        yield s, evs


def metric_points(s, rng):
    t1 = s.t + rng.randrange(60) * 10**9
    c = s.common
    m = ("model", MODELS[0])
    tok = [(t1 - 60 * 10**9, t1, float(rng.randrange(9000)), (*c, m, ("type", ty)))
           for ty in ("input", "output", "cacheRead", "cacheCreation")]
    return [("claude_code.token.usage", "tokens", tok),
            ("claude_code.cost.usage", "USD", [(t1 - 60 * 10**9, t1, rng.random(), (*c, m))]),
            ("claude_code.active_time.total", "s", [(t1 - 60 * 10**9, t1, 42.5, (*c, ("type", "cli")))]),
            ("claude_code.lines_of_code.count", "", [(t1 - 60 * 10**9, t1, 17.0, (*c, ("type", "added")))])]


def requests(a, truth=None):
    """Yield (kind, records, session index, body bytes)."""
    enc = ENCODERS[a.encoding]()
    if a.profile == "metrics":
        rng = random.Random(a.seed)
        for i in range(a.records // 7 or 1):
            s = Session(i % max(a.open, 1), a.seed, 1, a.numbers, a.content)
            yield 1, 7, s.idx, enc.request(1, [enc.resource_metrics(s, metric_points(s, rng))])
        return
    parts, n, idx = [], 0, 0
    for s, evs in chunks(a, truth):
        parts.append(enc.resource_logs(s, evs))
        n += len(evs)
        idx = s.idx
        if a.profile == "client" or n >= a.batch:
            yield 0, n, idx, enc.request(0, parts)
            parts, n = [], 0
    if parts:
        yield 0, n, idx, enc.request(0, parts)


def make(a):
    truth, nreq, nrec, nbytes = Truth(), 0, 0, 0
    head = json.dumps({"ctype": ENCODERS[a.encoding].ctype, "gzip": a.gzip, "profile": a.profile, "seed": a.seed}).encode()
    with open(a.out, "wb") as f:
        f.write(MAGIC + struct.pack(">I", len(head)) + head)
        for kind, n, idx, body in requests(a, truth):
            if a.gzip:
                body = gzip.compress(body, 6, mtime=0)
            f.write(FRAME.pack(len(body), kind, n, idx) + body)
            nreq, nrec, nbytes = nreq + 1, nrec + n, nbytes + len(body)
    truth.update(requests=nreq, records=nrec, bytes=nbytes)
    if a.expect:
        with open(a.expect, "w") as f:
            json.dump(truth, f, indent=1)
    print(json.dumps(truth))


def read_corpus(path):
    """Return (header dict, iterator of (kind, records, session index, body))."""
    f = open(path, "rb")
    if f.read(8) != MAGIC:
        raise SystemExit(f"{path}: not a corpus")
    head = json.loads(f.read(struct.unpack(">I", f.read(4))[0]))

    def frames():
        with f:
            while h := f.read(FRAME.size):
                n, kind, recs, idx = FRAME.unpack(h)
                yield kind, recs, idx, f.read(n)
    return head, frames()


# ------------------------------------------------------------------ sender
class Conn(asyncio.Protocol):
    """A keep-alive HTTP/1.1 connection with one request in flight."""

    def __init__(self):
        self.fut = None
        self.buf = b""

    def connection_made(self, tr):
        self.tr = tr

    def data_received(self, d):
        self.buf += d
        end = self.buf.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buf[:end].lower()
        p = head.find(b"content-length:")
        if p < 0:
            if head.find(b"chunked") >= 0 and not self.buf.endswith(b"0\r\n\r\n"):
                return
            need = len(self.buf)
        else:
            need = end + 4 + int(head[p + 15:].split(b"\r\n", 1)[0])
        if len(self.buf) < need:
            return
        status, self.buf = int(self.buf[9:12]), b""
        fut, self.fut = self.fut, None
        if fut and not fut.done():
            fut.set_result(status)

    def connection_lost(self, exc):
        if self.fut and not self.fut.done():
            self.fut.set_result(-1)

    def post(self, data):
        self.fut = asyncio.get_running_loop().create_future()
        self.tr.write(data)
        return self.fut


async def send_async(a):
    head, frames = read_corpus(a.corpus)
    u = urllib.parse.urlsplit(a.url)
    fixed = "".join(h + "\r\n" for h in a.header) + f"Content-Type: {head['ctype']}\r\n" + (
        "Content-Encoding: gzip\r\n" if head["gzip"] else "")
    hdr = [f"POST {u.path.rstrip('/')}/v1/{p} HTTP/1.1\r\nHost: {u.netloc}\r\n{fixed}Content-Length: " for p in ("logs", "metrics")]
    loop = asyncio.get_running_loop()
    conns = [(await loop.create_connection(Conn, u.hostname, u.port or 80))[1] for _ in range(a.connections)]
    queues = [asyncio.Queue(maxsize=4 if not a.rate else 0) for _ in conns]
    lat, status, sent = [], {}, [0, 0, 0]

    async def worker(i):
        c, q = conns[i], queues[i]
        while (item := await q.get()) is not None:
            due, n, data = item
            t = due or time.perf_counter()
            st = await c.post(data)
            lat.append(time.perf_counter() - t)
            status[st] = status.get(st, 0) + 1
            if st == 200:
                sent[0] += 1
                sent[1] += n
                sent[2] += len(data)
            if c.tr.is_closing():
                conns[i] = c = (await loop.create_connection(Conn, u.hostname, u.port or 80))[1]

    tasks = [asyncio.create_task(worker(i)) for i in range(len(conns))]
    t0 = time.perf_counter()
    rng = random.Random(1)
    due = t0
    for k, (kind, n, idx, body) in enumerate(frames):
        if (a.limit and k >= a.limit) or (a.seconds and time.perf_counter() - t0 > a.seconds):
            break
        data = hdr[kind].encode() + b"%d\r\n\r\n" % len(body) + body
        if a.rate:
            due += rng.expovariate(a.rate)
            if (d := due - time.perf_counter()) > 0:
                await asyncio.sleep(d)
            await queues[idx % len(queues)].put((due, n, data))
        else:
            await queues[idx % len(queues)].put((0, n, data))
    for q in queues:
        await q.put(None)
    await asyncio.gather(*tasks)
    wall = time.perf_counter() - t0
    for c in conns:
        c.tr.close()
    lat.sort()
    pct = {f"p{p}_ms": round(lat[min(len(lat) - 1, int(len(lat) * p / 100))] * 1e3, 3) for p in (50, 90, 99)} if lat else {}
    pct["max_ms"] = round(lat[-1] * 1e3, 3) if lat else None
    print(json.dumps({"status": status, "requests": sent[0], "records": sent[1], "bytes": sent[2], "wall_s": round(wall, 3),
                      "req_s": round(sent[0] / wall, 1), "rec_s": round(sent[1] / wall, 1), **pct}))


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="cmd", required=True)
    m = sub.add_parser("make", help="write a corpus file")
    m.add_argument("--out", required=True)
    m.add_argument("--expect", help="write the ground truth as JSON here")
    m.add_argument("--profile", choices=("client", "gateway", "metrics"), default="client")
    m.add_argument("--encoding", choices=tuple(ENCODERS), default="protobuf")
    m.add_argument("--records", type=int, default=100_000, help="log records (or data points) in all")
    m.add_argument("--sessions", type=int, default=0, help="at most this many sessions (0: as many as it takes)")
    m.add_argument("--open", type=int, default=200, help="sessions in progress at a time")
    m.add_argument("--prompts", type=int, default=8, help="prompts per session")
    m.add_argument("--mean", type=float, default=6, help="mean records per client POST")
    m.add_argument("--max", type=int, default=50, help="most records per client POST")
    m.add_argument("--batch", type=int, default=512, help="records per gateway POST")
    m.add_argument("--numbers", choices=("string", "typed"), default="string", help="tokens, cost, duration as strings or numbers")
    m.add_argument("--content", action="store_true", help="prompt text instead of <REDACTED>")
    m.add_argument("--gzip", action="store_true")
    m.add_argument("--seed", type=int, default=7)
    m.set_defaults(fn=make)
    s = sub.add_parser("send", help="replay a corpus over HTTP")
    s.add_argument("corpus")
    s.add_argument("--url", default="http://127.0.0.1:4318")
    s.add_argument("--connections", type=int, default=32)
    s.add_argument("--rate", type=float, default=0, help="requests/s, open loop, Poisson arrivals (0: closed loop)")
    s.add_argument("--limit", type=int, default=0, help="at most this many requests")
    s.add_argument("--seconds", type=float, default=0, help="at most this long")
    s.add_argument("--header", action="append", default=[], help="'Name: value', may be repeated")
    s.add_argument("--uvloop", action="store_true")

    def send(a):
        if a.uvloop:
            import uvloop
            uvloop.install()
        asyncio.run(send_async(a))
    s.set_defaults(fn=send)
    i = sub.add_parser("info", help="describe a corpus")
    i.add_argument("corpus")

    def info(a):
        head, fr = read_corpus(a.corpus)
        sizes = [(n, len(b)) for _, n, _, b in fr]
        rec = sum(n for n, _ in sizes)
        print(json.dumps({**head, "requests": len(sizes), "records": rec, "bytes": sum(b for _, b in sizes),
                          "bytes_per_record": round(sum(b for _, b in sizes) / max(rec, 1), 1),
                          "records_per_request": round(rec / max(len(sizes), 1), 2)}))
    i.set_defaults(fn=info)
    a = p.parse_args(argv)
    a.fn(a)


if __name__ == "__main__":
    main()
