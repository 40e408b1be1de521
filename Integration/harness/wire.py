"""HTTP/1.1 as a proxy needs it: heads of messages, and bodies that are copied or dropped without being kept."""

import asyncio
import dataclasses

BLOCK = 256 << 10
HEAD_LIMIT = 64 << 10


class Gone(Exception):
    """One of the two ends closed its connection, or the fault is to close it."""


@dataclasses.dataclass
class Message:
    """The head of a request or an answer."""

    first: str
    fields: list
    length: int = 0
    chunked: bool = False

    def __getitem__(self, name):
        return next((value for key, value in self.fields if key.lower() == name), None)

    def with_length(self, length):
        fields = [(key, str(length) if key.lower() == "content-length" else value) for key, value in self.fields]
        return dataclasses.replace(self, fields=fields, length=length)

    def encode(self):
        return "\r\n".join([self.first, *(f"{key}: {value}" for key, value in self.fields), "", ""]).encode("latin-1")

    @property
    def method(self):
        return self.first.split(" ")[0]

    @property
    def target(self):
        return self.first.split(" ")[1]

    @property
    def query(self):
        return self.target.partition("?")[2]

    @property
    def status(self):
        return int(self.first.split(" ")[1])

    @property
    def what(self):
        """The same for a request and its repetition."""
        return f"{self.method} {self.target} {self['range'] or ''}"

    @property
    def is_checked_upload(self):
        return self["content-md5"] is not None and self.length > 1

    @property
    def is_completion(self):
        return self.method == "POST" and "uploadId=" in self.query

    @property
    def is_object_read(self):
        return self.method == "GET" and not self.query


async def read_head(reader):
    """The next head, or None where the connection ended before it."""
    try:
        text = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = text.decode("latin-1").split("\r\n")[:-2]
    return Message(first, [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines])


async def copy(reader, writer, count, flip=None):
    """Copies so many bytes; a bit of byte `flip` is turned."""
    position = 0
    while position < count:
        block = await reader.read(min(BLOCK, count - position))
        if not block:
            raise Gone
        if flip is not None and position <= flip < position + len(block):
            block = bytearray(block)
            block[flip - position] ^= 0x10
        writer.write(block)
        await writer.drain()
        position += len(block)


async def copy_chunks(reader, writer):
    """Copies a chunked body as it is; without a writer it is dropped."""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        data = await reader.readexactly(size + 2) if size else b""
        if writer:
            writer.write(line + data)
            await writer.drain()
        if size == 0:
            while True:
                line = await reader.readuntil(b"\r\n")
                if writer:
                    writer.write(line)
                if line == b"\r\n":
                    return


async def drop(reader, count):
    while count > 0:
        block = await reader.read(min(BLOCK, count))
        if not block:
            raise Gone
        count -= len(block)


async def drop_body(reader, answer):
    if answer.chunked:
        await copy_chunks(reader, None)
    else:
        await drop(reader, answer.length)


async def until_gone(reader):
    while await reader.read(BLOCK):
        pass
    raise Gone
