"""A TCP proxy that lets everything through a fixed time later, as a far server would, without narrowing the line."""

import asyncio
import threading

BLOCK = 1 << 20


class DelayingProxy:
    """Runs on a thread of its own while it is entered; `port` is where clients find it. `delay` seconds are added to each request."""

    def __init__(self, upstream_port, delay):
        self.upstream_port, self.delay = upstream_port, delay
        self.loop = asyncio.new_event_loop()

    def __enter__(self):
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self.serve, "127.0.0.1", 0, limit=BLOCK), self.loop).result()
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def serve(self, reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port, limit=BLOCK)
        await asyncio.gather(
            self.pipe(reader, up_writer, self.delay), self.pipe(up_reader, writer, 0), return_exceptions=True)

    async def pipe(self, reader, writer, delay):
        """What was read goes on when its time has come, while more is read: as much as the line holds."""
        waiting = asyncio.Queue(maxsize=64)

        async def send():
            while block := (entry := await waiting.get())[1]:
                await asyncio.sleep(max(0, entry[0] - self.loop.time()))
                writer.write(block)
                await writer.drain()
            writer.close()

        sending = self.loop.create_task(send())
        try:
            while block := await reader.read(BLOCK):
                await waiting.put((self.loop.time() + delay, block))
        except OSError:
            pass
        await waiting.put((0, b""))
        await sending
