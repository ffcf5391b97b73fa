"""Compacted topics with the clients people use: the last value of each key stays, and nothing else for long."""

import collections
import itertools
import random
import threading
import time

import confluent_kafka
import pytest

import broker as broker_module
import topics
from clients import java

KEYS = 200
VALUE = "v" * 900
SETTINGS = {"log.cleaner.backoff.ms": 100, "log.segment.delete.delay.ms": 100}
CONFIG = {
    "cleanup_policy": "compact",
    "segment_bytes": 1 << 20,
    "min_cleanable_dirty_ratio": 0.01,
    "delete_retention_ms": 500,
}
PATIENCE_SECONDS = 90
POWER_CUT_DISK = {"OTTLA_TEST_POWER_CUT_DISK": "1"}
POWER_CUTS = 4


@pytest.fixture(scope="module")
def broker():
    with broker_module.running(SETTINGS) as running:
        yield running


def producer(bootstrap, **more):
    return confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 2, **more}
    )


def read_all(bootstrap, topic):
    """Every record of partition 0, in order, as (offset, key, value)."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "nobody",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    records = []
    while True:
        message = consumer.poll(30)
        assert message is not None, "the consumer does not reach the end"
        if message.error():
            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
            break
        value = None if message.value() is None else message.value().decode()
        records.append((message.offset(), message.key().decode(), value))
    consumer.close()
    return records


def last_values(records):
    return {key: value for _, key, value in records}


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def overwrite(bootstrap, topic, rounds, tag, **more):
    """Writes every key `rounds` times; returns the last value of each."""
    writer = producer(bootstrap, **more)
    expected = {}
    for number in range(rounds):
        for key in range(KEYS):
            expected[f"key-{key}"] = f"{tag}-{number}-{key}-{VALUE}"
            writer.produce(topic, expected[f"key-{key}"], f"key-{key}", partition=0)
            writer.poll(0)
        writer.flush(30)
    return expected


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_last_value_of_each_key_stays(broker, codec, figure):
    topic = f"compacted-{codec}"
    # Values that compress well would never fill a segment.
    noise = random.Random(7)
    topics.create(broker.bootstrap, topic, 1, **CONFIG)
    writer = producer(broker.bootstrap, **{"compression.type": codec})
    expected = {}
    for number in range(40):
        for key in range(KEYS):
            expected[f"key-{key}"] = f"{number}-{noise.randbytes(700).hex()}"
            writer.produce(topic, expected[f"key-{key}"], f"key-{key}", partition=0)
        writer.flush(30)
    for key in range(0, KEYS, 4):
        writer.produce(topic, None, f"key-{key}", partition=0)
        expected[f"key-{key}"] = None
    writer.flush(30)
    end = topics.ends(broker.bootstrap, topic, 1)
    written = sum(end)

    def is_compacted():
        records = read_all(broker.bootstrap, topic)
        assert last_values(records) == expected
        assert [offset for offset, _, _ in records] == sorted({offset for offset, _, _ in records})
        return len(records) < written / 2

    wait_until(is_compacted, "nothing was compacted")
    assert topics.ends(broker.bootstrap, topic, 1) == end
    figure(f"{codec}: {written} records written, {len(read_all(broker.bootstrap, topic))} left")


def test_deleted_keys_disappear(broker):
    topic = "deleted"
    topics.create(broker.bootstrap, topic, 1, **CONFIG)
    overwrite(broker.bootstrap, topic, 4, "a")
    writer = producer(broker.bootstrap)
    for key in range(KEYS):
        writer.produce(topic, None, f"key-{key}", partition=0)
    writer.flush(30)
    for number in itertools.count():
        # The deletions are compacted once they are not in the active segment, and once more when their time is over.
        writer.produce(topic, f"{number}-{VALUE}", f"other-{number % 10}", partition=0)
        if number % 500 == 0:
            writer.flush(30)
            left = last_values(read_all(broker.bootstrap, topic))
            assert all(left[f"key-{key}"] is None for key in range(KEYS) if f"key-{key}" in left)
            if not any(key.startswith("key-") for key in left):
                break
            time.sleep(0.3)
        assert number < 200_000, "deleted keys are still there"


def test_records_without_a_key_are_refused(broker):
    topic = "keys-only"
    topics.create(broker.bootstrap, topic, 1, **CONFIG)
    errors = []
    writer = producer(broker.bootstrap)
    writer.produce(topic, "value", None, partition=0, on_delivery=lambda error, _: errors.append(error))
    writer.flush(30)
    assert [error.code() for error in errors] == [confluent_kafka.KafkaError.INVALID_RECORD], errors


def test_a_topic_becomes_compacted_and_stops_being_so(broker):
    topic = "changed"
    topics.create(broker.bootstrap, topic, 1, segment_bytes=1 << 20)
    expected = overwrite(broker.bootstrap, topic, 15, "a")
    assert len(read_all(broker.bootstrap, topic)) == 15 * KEYS
    java.run(
        "kafka.admin.ConfigCommand", "--bootstrap-server", broker.bootstrap, "--alter", "--topic", topic,
        "--add-config", "cleanup.policy=[compact,delete],min.cleanable.dirty.ratio=0.01",
    )  # fmt: skip
    wait_until(lambda: len(read_all(broker.bootstrap, topic)) < 10 * KEYS, "nothing was compacted")
    assert last_values(read_all(broker.bootstrap, topic)) == expected
    java.run(
        "kafka.admin.ConfigCommand", "--bootstrap-server", broker.bootstrap, "--alter", "--topic", topic,
        "--add-config", "cleanup.policy=",
    )  # fmt: skip
    left = len(read_all(broker.bootstrap, topic))
    overwrite(broker.bootstrap, topic, 10, "b")
    time.sleep(1)
    assert len(read_all(broker.bootstrap, topic)) == left + 10 * KEYS


def test_groups_commit_to_a_compacted_topic(broker):
    topic = "read-by-groups"
    topics.create(broker.bootstrap, topic, 1)
    overwrite(broker.bootstrap, topic, 1, "a")
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "compact", "enable.auto.commit": False}
    )
    at = confluent_kafka.TopicPartition(topic, 0, 7)
    wait_until(lambda: not consumer.commit(offsets=[at], asynchronous=False)[0].error, "no commit")
    consumer.close()
    described = java.run(
        "kafka.admin.ConfigCommand", "--bootstrap-server", broker.bootstrap, "--describe",
        "--topic", "__consumer_offsets",
    )  # fmt: skip
    assert "cleanup.policy=compact" in described


def test_kafkas_tool_reads_what_was_compacted(broker):
    topic = "dumped"
    topics.create(broker.bootstrap, topic, 1, **CONFIG)
    expected = overwrite(broker.bootstrap, topic, 20, "a", **{"compression.type": "lz4"})
    more = overwrite(broker.bootstrap, topic, 20, "b")
    expected.update(more)
    directory = broker.directory / "data" / f"{topic}-0"
    wait_until(lambda: len(read_all(broker.bootstrap, topic)) < 12 * KEYS, "nothing was compacted")
    first = sorted(directory.glob("*.log"))[0]
    wait_until(lambda: first.stat().st_size > 0, "nothing is on disk")
    dumped = java.run(
        "DumpLogSegments", "--files", first, "--deep-iteration", "--print-data-log", "--index-sanity-check",
    )  # fmt: skip
    assert "isvalid: true" in dumped and "isvalid: false" not in dumped
    offsets = [int(line.split("offset: ")[1].split()[0]) for line in dumped.splitlines() if line.startswith("| offset: ")]
    assert offsets and offsets == sorted(set(offsets))
    for kind in ["index", "timeindex"]:
        checked = java.run("DumpLogSegments", "--files", first.with_suffix(f".{kind}"))
        assert "ismatch" not in checked.lower(), checked


class Updates(threading.Thread):
    """Overwrites few keys until it is told to stop, and knows what was acknowledged."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.topic = topic
        self.enough = threading.Event()
        self.sent = collections.Counter()
        self.acknowledged = collections.Counter()
        self.failures = []
        self.producer = producer(bootstrap, **{"message.timeout.ms": 0, "reconnect.backoff.max.ms": 100})
        self.start()

    def run(self):
        for number in itertools.count(1):
            if self.enough.is_set():
                break
            key = f"key-{number % KEYS}"
            self.sent[key] = number

            def delivered(error, _message, key=key, number=number):
                if error is None:
                    self.acknowledged[key] = max(self.acknowledged[key], number)
                else:
                    self.failures.append(error)

            while True:
                try:
                    self.producer.produce(self.topic, f"{number} {VALUE}", key, partition=0, on_delivery=delivered)
                    break
                except BufferError:
                    self.producer.poll(0.1)
            self.producer.poll(0)
        self.producer.flush(PATIENCE_SECONDS)


def test_power_cuts_lose_no_key(tmp_path, figure):
    with broker_module.running(SETTINGS, POWER_CUT_DISK, tmp_path) as broker:
        topics.create(broker.bootstrap, "updates", 1, **CONFIG)
        updates = Updates(broker.bootstrap, "updates")
        for _ in range(POWER_CUTS):
            before = sum(updates.acknowledged.values())
            wait_until(lambda: sum(updates.acknowledged.values()) > before, "no progress")
            time.sleep(2)
            broker.kill()
            broker.start()
        time.sleep(2)
        updates.enough.set()
        updates.join()
        assert not updates.failures
        records = read_all(broker.bootstrap, "updates")
        values = {key: int(value.split()[0]) for key, value in last_values(records).items()}
        assert values == dict(updates.acknowledged), "the last value of a key is not the last one written"
        written = topics.ends(broker.bootstrap, "updates", 1)[0]
        figure(f"{written} updates of {KEYS} keys over {POWER_CUTS} power cuts, {len(records)} records left")
        rounds = [line for line in broker.metrics().splitlines() if "cleaner_rounds_total{" in line]
        assert rounds and float(rounds[0].split()[-1]) > 0


def test_the_same_keys_for_ever_need_the_same_room_for_ever(broker, figure):
    topic = "for-ever"
    topics.create(broker.bootstrap, topic, 1, **CONFIG)
    directory = broker.directory / "data" / f"{topic}-0"
    sizes = []
    for turn in range(8):
        overwrite(broker.bootstrap, topic, 50, f"turn-{turn}")

        def is_small():
            size = sum(file.stat().st_size for file in directory.glob("*.log"))
            return size < 6 << 20

        wait_until(is_small, f"turn {turn}: the log keeps growing")
        sizes.append(sum(file.stat().st_size for file in directory.glob("*.log")) >> 10)
    figure(f"{8 * 50 * KEYS} updates of {KEYS} keys: KiB on disk after each turn {sizes}")


@pytest.mark.parametrize("stored", ["uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"])
def test_a_topic_stores_batches_in_its_own_compression(broker, stored):
    topic = f"stored-{stored}"
    topics.create(broker.bootstrap, topic, 1, compression_type=stored)
    expected = {}
    for codec in ["none", "lz4", "zstd"]:
        expected.update(overwrite(broker.bootstrap, topic, 1, codec, **{"compression.type": codec}))
    assert last_values(read_all(broker.bootstrap, topic)) == expected
    assert len(read_all(broker.bootstrap, topic)) == 3 * KEYS
    broker.stop()
    first = broker.directory / "data" / f"{topic}-0" / f"{0:020}.log"
    dumped = java.run("DumpLogSegments", "--files", first)
    broker.start()
    codecs = {line.split("compresscodec: ")[1].split()[0].lower() for line in dumped.splitlines() if "compresscodec: " in line}
    wanted = {"uncompressed": {"none"}, "producer": {"none", "lz4", "zstd"}}.get(stored, {stored})
    assert codecs == wanted
