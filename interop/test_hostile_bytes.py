"""Bytes nobody should send: a clear end for the sender, nothing for anybody else."""

import contextlib
import os
import random
import struct
import time

import confluent_kafka
import pytest

import raw
import topics
from flights import flights
from clients import librdkafka

FRAME_SIZE_MAX = 104857600


def resident_bytes(broker):
    with open(f"/proc/{broker.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def wait_for_log(broker, *words):
    """Waits until one line of the broker's log has all the words."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in broker.log_path.read_text(errors="replace").splitlines():
            if all(word in line for word in words):
                return line
        time.sleep(0.01)
    raise AssertionError(f"no line with {words} in:\n{broker.log_tail()}")


@pytest.mark.parametrize(
    "payload",
    [
        struct.pack(">i", 0x7FFFFFFF),
        struct.pack(">i", -1),
        struct.pack(">i", FRAME_SIZE_MAX + 1),
        raw.frame(b""),
        raw.frame(b"\x00"),
        raw.frame(raw.header(999, 0)),
        raw.frame(raw.header(-1, 0)),
        raw.frame(raw.header(0, 2)),
        raw.frame(raw.header(2, 0)),
        raw.frame(raw.header(1, 99)),
        raw.frame(raw.header(4, 0)),
        raw.frame(raw.header(3, 1) + struct.pack(">i", 0x7FFFFFF0)),
        raw.frame(raw.header(3, 9)[:-3] + b"\x00\x03raw\x00" + b"\xff\xff\xff\xff\x0f"),
        raw.frame(struct.pack(">hhih", 18, 0, 1, 30_000)),
    ],
    ids=[
        "size of 2 GiB", "negative size", "one byte over the limit", "no header", "one byte",
        "unknown key", "negative key", "produce v2", "list offsets v0", "fetch v99", "leader and isr",
        "two billion topics", "four billion topics, compact", "client id longer than the frame",
    ],
)  # fmt: skip
def test_a_bad_frame_closes_its_connection_and_no_other(broker, payload):
    with raw.connect(broker) as bystander, raw.connect(broker) as hostile:
        assert raw.api_versions(bystander)
        hostile.sendall(payload)
        assert raw.is_closed(hostile)
        assert raw.api_versions(bystander)


def test_an_unknown_version_of_api_versions_is_answered_in_version_0(broker):
    with raw.connect(broker) as connection:
        connection.sendall(raw.frame(raw.header(18, 77)))
        body = raw.receive_frame(connection)
        assert body[:4] == struct.pack(">i", 1)
        assert body[4:] == struct.pack(">hihhh", 35, 1, 18, 0, 5)
        assert raw.api_versions(connection), "the connection goes on"


def test_only_what_is_built_is_advertised(broker):
    with raw.connect(broker) as connection:
        ranges = raw.api_versions(connection)
    assert ranges[0] == (0, 13), "librdkafka up to 2.10 needs Produce 0 to compress"
    assert ranges[1] == (4, 18)
    assert ranges[3] == (0, 13)
    assert ranges[18] == (0, 5)


def test_random_bytes_do_no_harm(broker, topic):
    dice = random.Random(4)
    for _ in range(300):
        with raw.connect(broker) as hostile, contextlib.suppress(OSError):
            hostile.sendall(raw.frame(dice.randbytes(dice.randrange(1, 400))))
    for _ in range(300):
        key, version = dice.randrange(0, 95), dice.randrange(0, 14)
        body = raw.header(key, version) + dice.randbytes(dice.randrange(0, 200))
        with raw.connect(broker) as hostile, contextlib.suppress(OSError):
            hostile.sendall(raw.frame(body))
    topics.create(broker.bootstrap, topic)
    records = flights()[:1000]
    librdkafka.produce(broker.bootstrap, topic, records, "lz4")
    assert librdkafka.consume(broker.bootstrap, topic, 4, 1000).count == 1000


def test_claimed_sizes_cost_nothing(broker):
    before = resident_bytes(broker)
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            connection = stack.enter_context(raw.connect(broker))
            connection.sendall(struct.pack(">i", FRAME_SIZE_MAX) + b"x" * 1000)
        with raw.connect(broker) as bystander:
            assert raw.api_versions(bystander)
        grown = resident_bytes(broker) - before
        assert grown < 64 << 20, f"300 claims of 100 MiB cost {grown >> 20} MiB"


def test_a_torn_frame_is_forgotten(broker):
    with raw.connect(broker) as connection:
        connection.sendall(raw.frame(raw.header(18, 0))[:-2])
    with raw.connect(broker) as connection:
        assert raw.api_versions(connection)


def test_acks_0_with_an_error_closes_the_connection(broker):
    body = raw.header(0, 3) + struct.pack(">hhi", -1, 0, 1000)
    body += struct.pack(">i", 1) + struct.pack(">h", 7) + b"nowhere"
    body += struct.pack(">iii", 1, 0, 4) + b"junk"
    with raw.connect(broker) as connection:
        connection.sendall(raw.frame(body))
        assert raw.is_closed(connection)


@pytest.mark.parametrize(
    "opening,words",
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ["HTTP"]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64), ["TLS"]),
        (b"AMQP\x00\x00\x09\x01", ["AMQP"]),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ["SSH"]),
    ],
    ids=["HTTP", "TLS", "AMQP", "SSH"],
)
def test_foreign_protocols_are_named_in_the_log(broker, opening, words):
    with raw.connect(broker) as connection:
        connection.sendall(opening)
        connection.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
    wait_for_log(broker, "127.0.0.1", *words)


def test_a_transactional_producer_fails_at_once(broker):
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": "t", "log_level": 0}
    )
    started = time.monotonic()
    with pytest.raises(confluent_kafka.KafkaException):
        producer.init_transactions(20)
    assert time.monotonic() - started < 15, "a fatal error, not a time-out"
