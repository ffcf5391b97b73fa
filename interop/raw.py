"""Kafka's protocol by hand, for what no client library would send."""

import socket
import struct


def connect(broker, timeout=10):
    """A plain socket to the broker."""
    return socket.create_connection(("127.0.0.1", broker.port), timeout=timeout)


def header(key, version, correlation_id=1, client_id=b"raw"):
    """A request header of version 1 (not flexible)."""
    return struct.pack(">hhih", key, version, correlation_id, len(client_id)) + client_id


def frame(payload):
    """A payload behind its size."""
    return struct.pack(">i", len(payload)) + payload


def receive_exactly(connection, size):
    """`size` bytes, or fewer when the other side closes."""
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            break
        received += part
    return received


def receive_frame(connection):
    """The next response without its size; None when the connection was closed."""
    try:
        size = receive_exactly(connection, 4)
        if len(size) < 4:
            return None
        (size,) = struct.unpack(">i", size)
        body = receive_exactly(connection, size)
        return body if len(body) == size else None
    except ConnectionResetError:
        return None


def is_closed(connection):
    """Whether the broker closes the connection without an answer."""
    return receive_frame(connection) is None


def api_versions(connection):
    """The ranges the broker advertises, {key: (min, max)}."""
    connection.sendall(frame(header(18, 0)))
    body = receive_frame(connection)
    error, count = struct.unpack_from(">hi", body, 4)
    assert error == 0
    rows = struct.iter_unpack(">hhh", body[10 : 10 + 6 * count])
    return {key: (low, high) for key, low, high in rows}


def create_topic(connection, name, partitions=1, timeout_ms=10_000):
    """CreateTopics version 4; returns (error code, message)."""
    text = lambda value: struct.pack(">h", len(value)) + value  # noqa: E731
    topic = text(name.encode()) + struct.pack(">ihii", partitions, 1, 0, 0)
    connection.sendall(frame(header(19, 4) + struct.pack(">i", 1) + topic + struct.pack(">ib", timeout_ms, 0)))
    body = receive_frame(connection)
    assert body is not None, "no answer"
    position = 4 + 4 + 4  # correlation id, throttle time, number of topics
    (size,) = struct.unpack_from(">h", body, position)
    position += 2 + size
    error, size = struct.unpack_from(">hh", body, position)
    return error, body[position + 4 : position + 4 + max(size, 0)].decode()
