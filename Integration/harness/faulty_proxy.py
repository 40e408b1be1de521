"""An HTTP/1.1 proxy in front of an S3 server that goes wrong now and then, as a seed decides.

Requests are forwarded as they come, the Host field included, so that their signatures hold; bodies are streamed. What
has no checksum in S3's protocol, the XML of requests and answers, is cut and lost here, but not changed: against that
only TLS helps.
"""

import asyncio
import contextlib
import email.utils
import random
import socket
import struct
import threading
from collections import Counter

from harness.wire import HEAD_LIMIT, Gone, Message, copy, copy_chunks, drop, drop_body, read_head, until_gone

REGIONS = ("us-east-1", "eu-north-9")


def anything(_):
    return True


# What can go wrong, and with which requests. A fault is a method of Exchange of the same name.
KINDS = {
    "reset_upload": lambda request: request.length > 1,
    "reset_download": anything,
    "truncated_upload": lambda request: request.is_checked_upload,
    "truncated_download": anything,
    "corrupted_upload": lambda request: request.is_checked_upload,
    "corrupted_download": lambda request: request.is_object_read,
    "pause": anything,
    "stall": anything,
    "internal_error": anything,
    "slow_down": anything,
    "slow_down_retry_after": anything,
    "request_timeout": anything,
    "too_many_requests": anything,
    "too_many_requests_retry_after": anything,
    "error_in_completion": lambda request: request.is_completion,
    "lost_answer": anything,
    "moved_region": anything,
    "temporary_redirect": anything,
}


class FaultyProxy:
    """Runs on a thread of its own while it is entered; `port` is where clients find it."""

    def __init__(self, upstream_port, kinds=(), rate=0.0, seed=0, most=None):
        self.upstream_port = upstream_port
        self.kinds = [kind for kind in KINDS if kind in kinds]
        assert len(self.kinds) == len(set(kinds)), f"unknown kinds in {kinds}"
        self.rate, self.seed, self.most = rate, seed, most
        self.requests = 0
        self.faults = Counter()
        # How often the server itself answered with which status.
        self.answers = Counter()
        self.retried = 0
        self.accepted_damage = []
        # Session tokens that have expired; `on_request` hears of each request before it is forwarded.
        self.expired_tokens = set()
        self.on_request = lambda request: None
        self.silent = self.dead = False
        self.faulty = set()
        self.redirected = set()
        self.corrupted = set()
        self.connections = set()

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        assert started.wait(10), "the proxy did not start"
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(10)

    def die(self):
        """Refuses connections from now on and breaks those that stand."""
        self.loop.call_soon_threadsafe(self._die)

    def fall_silent(self):
        """Goes on accepting connections and answers nothing any more."""
        self.silent = True

    def report(self):
        faults = "".join(f"\n  {kind:32} {count:5}" for kind, count in sorted(self.faults.items()))
        return f"{self.requests} requests, {self.faults.total()} faults, {self.retried} tried again{faults}"

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve(started))
        self.loop.close()

    async def _serve(self, started):
        self._stop = asyncio.Event()
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=HEAD_LIMIT, backlog=256)
        self.port = self.server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        self._die()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _die(self):
        self.dead = True
        self.server.close()
        for writer in self.connections:
            writer.transport.abort()

    async def _connected(self, reader, writer):
        self.connections.add(writer)
        upstream = Upstream(self.upstream_port)
        try:
            while await self._turn(reader, writer, upstream):
                pass
        except (Gone, OSError, asyncio.IncompleteReadError):
            reset(writer)
        finally:
            upstream.close()
            self.connections.discard(writer)
            writer.close()

    async def _turn(self, reader, writer, upstream):
        request = await read_head(reader)
        if request is None:
            return False
        request.length = int(request["content-length"] or 0)
        if self.dead:
            raise Gone  # a connection that was accepted while the others were broken
        if self.silent:
            await until_gone(reader)
        self.requests += 1
        self.on_request(request)
        kind, chance = self._fault(request)
        exchange = Exchange(self, request, reader, writer, upstream, chance)
        await getattr(exchange, kind or "forward")()
        return True

    def _fault(self, request):
        """The kind of fault for a request, or None, and the random numbers that shape it."""
        if request.what in self.faulty:
            self.retried += 1
            self.faulty.discard(request.what)
        chance = random.Random(f"{self.seed} {self.requests}")
        if request["x-amz-security-token"] in self.expired_tokens:
            return "expired_token", chance
        # A kind that is tried alone hits the first request that it can: some have few.
        awaited = self.rate > 0 and len(self.kinds) == 1 and not self.faults[self.kinds[0]]
        if not awaited and chance.random() >= self.rate:
            return None, chance
        kinds = [kind for kind in self.kinds if KINDS[kind](request)
                 and (self.most is None or self.faults[kind] < self.most)]
        # Those that came least often so far: a short run sees most kinds too.
        least = min((self.faults[kind] for kind in kinds), default=0)
        kinds = [kind for kind in kinds if self.faults[kind] == least]
        kind = chance.choice(kinds) if kinds else None
        # A chunk is fetched twice and no more, and one that is wrong twice is taken for damage.
        if kind == "corrupted_download":
            if request.target in self.corrupted:
                return None, chance
            self.corrupted.add(request.target)
        # S3 does not send a client round in circles.
        if kind == "moved_region" and request.what in self.redirected:
            self.redirected.discard(request.what)
            return None, chance
        if kind:
            self.faults[kind] += 1
            self.faulty.add(request.what)
        return kind, chance


class Upstream:
    """A connection to the server, made when it is needed."""

    def __init__(self, port):
        self.port, self.writer = port, None

    async def open(self):
        if self.writer is None or self.writer.is_closing() or self.reader.at_eof():
            self.close()
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=HEAD_LIMIT)
        return self.reader, self.writer

    def close(self):
        if self.writer:
            self.writer.transport.abort()
            self.writer = None


class Exchange:
    """One request and its answer, with what goes wrong between them."""

    def __init__(self, proxy, request, reader, writer, upstream, chance):
        self.proxy, self.request, self.reader, self.writer = proxy, request, reader, writer
        self.upstream, self.chance = upstream, chance

    async def forward(self):
        await self.send(self.request)
        await self.pass_on(await self.receive())

    # Faults, by the names of KINDS.

    async def reset_upload(self):
        await self.send(self.request, stop=self.chance.randrange(self.request.length))
        raise Gone

    async def reset_download(self):
        await self.cut_answer()
        raise Gone

    async def truncated_download(self):
        await self.cut_answer()
        self.writer.close()
        await self.writer.wait_closed()
        raise Gone

    async def truncated_upload(self):
        short = self.request.with_length(self.chance.randrange(1, self.request.length))
        await self.send(short)
        await drop(self.reader, self.request.length - short.length)
        await self.damaged_upload_answered()

    async def corrupted_upload(self):
        await self.send(self.request, flip=self.chance.randrange(self.request.length))
        await self.damaged_upload_answered()

    async def corrupted_download(self):
        await self.send(self.request)
        answer = await self.receive()
        flip = self.chance.randrange(answer.length) if answer.status in (200, 206) and answer.length else None
        await self.pass_on(answer, flip=flip)

    async def pause(self):
        await asyncio.sleep(self.chance.uniform(1, 3))
        await self.forward()

    async def stall(self):
        if self.chance.random() < 0.5:
            await self.send(self.request)
            await self.cut_answer(await self.receive())
        await until_gone(self.reader)

    async def internal_error(self):
        await self.refuse(500, "InternalError")

    async def slow_down(self):
        await self.refuse(503, "SlowDown")

    async def slow_down_retry_after(self):
        await self.refuse(503, "SlowDown", ("Retry-After", "1"))

    async def request_timeout(self):
        await self.refuse(408, "RequestTimeout")

    async def too_many_requests(self):
        await self.refuse(429, "TooManyRequests")

    async def too_many_requests_retry_after(self):
        await self.refuse(429, "TooManyRequests", ("Retry-After", "1"))

    async def error_in_completion(self):
        """The answer of a server that had begun to answer with 200 when it failed, or failed only to say that it was done."""
        if self.chance.random() < 0.5:
            await self.send(self.request)
            await drop_body(self.upstream.reader, await self.receive())
        else:
            await drop(self.reader, self.request.length)
        await self.answer(200, error_document("InternalError"))

    async def lost_answer(self):
        await self.send(self.request)
        await drop_body(self.upstream.reader, await self.receive())
        raise Gone

    async def moved_region(self):
        self.proxy.redirected.add(self.request.what)
        region = REGIONS[f"/{REGIONS[0]}/" in (self.request["authorization"] or "")]
        await self.refuse(301, "PermanentRedirect", ("x-amz-bucket-region", region))

    async def temporary_redirect(self):
        await self.refuse(307, "TemporaryRedirect", ("Location", f"http://127.0.0.1:1{self.request.target}"))

    async def expired_token(self):
        await self.refuse(400, "ExpiredToken")

    # What they are made of.

    async def send(self, request, stop=None, flip=None):
        """Sends a request on; only the first `stop` bytes of its body where that is given, with a bit of byte `flip` turned."""
        _, writer = await self.upstream.open()
        writer.write(request.encode())
        await copy(self.reader, writer, request.length if stop is None else stop, flip)

    async def receive(self):
        """The head of the server's answer, without those that only say to go on."""
        while True:
            answer = await read_head(self.upstream.reader)
            if answer is None:
                raise Gone
            if answer.status >= 200:
                break
        answer.chunked = "chunked" in (answer["transfer-encoding"] or "").lower()
        self.proxy.answers[answer.status] += 1
        has_body = self.request.method != "HEAD" and answer.status not in (204, 304)
        answer.length = int(answer["content-length"] or 0) if has_body and not answer.chunked else 0
        return answer

    async def pass_on(self, answer, flip=None):
        self.writer.write(answer.encode())
        if answer.chunked:
            await copy_chunks(self.upstream.reader, self.writer)
        else:
            await copy(self.upstream.reader, self.writer, answer.length, flip)
        await self.writer.drain()
        if (answer["connection"] or "").lower() == "close":
            self.upstream.close()

    async def cut_answer(self, answer=None):
        """Gives part of the answer: of its body, or where it has none, of its head."""
        if answer is None:
            await self.send(self.request)
            answer = await self.receive()
        if answer.length > 1:
            self.writer.write(answer.encode())
            await copy(self.upstream.reader, self.writer, self.chance.randrange(answer.length))
        else:
            head = answer.encode()
            self.writer.write(head[:self.chance.randrange(len(head) - 2)])
        with contextlib.suppress(OSError):
            await self.writer.drain()

    async def damaged_upload_answered(self):
        answer = await self.receive()
        if answer.status < 300:
            self.proxy.accepted_damage.append(self.request.what)
        await self.pass_on(answer)

    async def refuse(self, status, code, *fields):
        """An error of the proxy's own; half of the time before the body was read, and the connection closed at once."""
        early = self.request.length > 0 and self.chance.random() < 0.5
        if not early:
            await drop(self.reader, self.request.length)
        await self.answer(status, error_document(code), *fields, *([("Connection", "close")] if early else []))
        if early:
            self.writer.close()
            await self.writer.wait_closed()
            raise Gone

    async def answer(self, status, document, *fields):
        body = b"" if self.request.method == "HEAD" else document
        head = Message(f"HTTP/1.1 {status} Faulty", [
            ("Date", email.utils.formatdate(usegmt=True)), ("Content-Type", "application/xml"),
            ("Content-Length", str(len(document))), *fields])
        self.writer.write(head.encode() + body)
        await self.writer.drain()


def error_document(code):
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>made up</Message></Error>'.encode()


def reset(writer):
    """Ends a connection, unless it was closed before, by RST instead of FIN."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.contextmanager
def silent_port():
    """A port that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def unconnectable_port():
    """A port that drops whatever wants to connect: the queue of those who wait to be accepted is full."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
