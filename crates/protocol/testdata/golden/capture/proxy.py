#!/usr/bin/env python3
"""Copies bytes between Kafka clients and a broker and keeps every frame it sees.

    proxy.py OUT LISTEN:BROKER [LISTEN:BROKER ...]

Ports are on 127.0.0.1. The broker must advertise the LISTEN ports. Each frame becomes a line of OUT:

    CLIENT DIRECTION API_KEY VERSION HEX

CLIENT is the client software's name as ApiVersions v3 and later tell it, else the client id. HEX is the
frame without its four bytes of size. Ends on SIGINT or SIGTERM.
"""

import asyncio
import signal
import struct
import sys

API_VERSIONS, SASL_HANDSHAKE = 18, 17
seen = set()


class Connection:
    """What one connection has said about itself, and the requests that wait for their response."""

    def __init__(self, out):
        self.out = out
        self.software = None
        self.waiting = {}
        self.is_readable = True  # False once raw SASL tokens flow

    def request(self, frame):
        key, version, correlation = struct.unpack_from(">hhi", frame)
        size = struct.unpack_from(">h", frame, 8)[0]
        client_id = frame[10 : 10 + max(size, 0)].decode(errors="replace")
        if key == API_VERSIONS and version >= 3 and self.software is None:
            self.software = software_name(frame, 10 + max(size, 0))
        name = (self.software or client_id or "unnamed").replace(" ", "-")
        self.waiting[correlation] = (name, key, version)
        self.keep(name, "request", key, version, frame)

    def response(self, frame):
        known = self.waiting.pop(struct.unpack_from(">i", frame)[0], None)
        if known is None:
            self.is_readable = False
            return
        name, key, version = known
        self.keep(name, "response", key, version, frame)
        if key == SASL_HANDSHAKE and version == 0:
            self.is_readable = False

    def keep(self, name, direction, key, version, frame):
        # The correlation id tells nothing apart.
        at = 4 if direction == "request" else 0
        same = (name, direction, key, version, frame[:at] + frame[at + 4 :])
        if same not in seen:
            seen.add(same)
            self.out.write(f"{name} {direction} {key} {version} {frame.hex()}\n")


def software_name(frame, at):
    """The compact string behind the header's tagged fields, which no client fills."""
    size = frame[at + 1] - 1
    return frame[at + 2 : at + 2 + size].decode(errors="replace")


async def copy(reader, writer, connection, handle):
    try:
        while True:
            size = await reader.readexactly(4)
            frame = await reader.readexactly(struct.unpack(">I", size)[0])
            if connection.is_readable:
                handle(frame)
            writer.write(size + frame)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(out, listen, broker):
    async def accept(reader, writer):
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", broker)
        except OSError:
            return writer.close()
        connection = Connection(out)
        await asyncio.gather(
            copy(reader, broker_writer, connection, connection.request),
            copy(broker_reader, writer, connection, connection.response),
        )

    return await asyncio.start_server(accept, "127.0.0.1", listen, limit=1 << 26)


async def main(path, pairs):
    with open(path, "a", buffering=1) as out:
        servers = [await serve(out, *map(int, pair.split(":"))) for pair in pairs]
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()
        for server in servers:
            server.close()


asyncio.run(main(sys.argv[1], sys.argv[2:]))
