"""Records survive kill -9 and power cuts, once and in order, while a producer keeps retrying."""

import os
import random
import threading
import time

import confluent_kafka
import pytest

import broker as broker_module
import topics
from clients import librdkafka
from digest import TopicDigest
from flights import flights

RING_BYTES = 16 << 20
RING_TURNS_MIN = 20
KILLS_MIN = int(os.environ.get("OTTLA_KILLS", 50))
PARTITIONS = 4
# Small rings and segments, so that a run sees what a busy week shows in production.
SETTINGS = {
    "log.segment.bytes": 1 << 20,
    "ottla.wal.bytes": RING_BYTES,
    "ottla.memory.tails.bytes": 2 << 20,
}


class Producer(threading.Thread):
    """Writes numbered flights until it is told to stop; retries for ever."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.topic = topic
        self.sent = TopicDigest()
        self.sent_bytes = 0
        self.acknowledged = 0
        self.failures = []
        self.enough = threading.Event()
        self.producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": 0,
                "retries": 2147483647,
                "linger.ms": 2,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 50,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 20_000,
                "log_level": 6,
            }
        )

    def delivered(self, error, message):
        if error is None:
            self.acknowledged += 1
        else:
            self.failures.append(str(error))

    def run(self):
        records = flights()
        number = 0
        while not self.enough.is_set() and not self.failures:
            key, value = records[number % len(records)]
            value = b"%d %s" % (number, value)
            while True:
                try:
                    self.producer.produce(self.topic, value, key, on_delivery=self.delivered)
                    break
                except BufferError:
                    self.producer.poll(0.01)
            self.sent.add(0, key, value)
            self.sent_bytes += len(key) + len(value)
            number += 1
            self.producer.poll(0)
        while self.producer.flush(1) and not self.failures:
            pass


@pytest.mark.parametrize(
    "durability,environment",
    [("fsync", {"OTTLA_TEST_POWER_CUT_DISK": "1"}), ("os", {})],
    ids=["power cuts, durable", "kill -9, durability=os"],
)
def test_kills_under_load(tmp_path, durability, environment, figure):
    seed = int(os.environ.get("OTTLA_SEED", time.time_ns() % 1_000_000))
    print(f"OTTLA_SEED={seed}")
    dice = random.Random(seed)
    settings = {**SETTINGS, "ottla.durability": durability}
    broker = broker_module.Broker(tmp_path, settings, environment).start()
    topics.create(broker.bootstrap, "flights", PARTITIONS)
    producer = Producer(broker.bootstrap, "flights")
    producer.start()
    kills, slowest_restart = 0, 0.0
    while kills < KILLS_MIN or producer.sent_bytes < RING_TURNS_MIN * RING_BYTES:
        assert not producer.failures, producer.failures[:3]
        before = producer.acknowledged
        # At least one record is acknowledged in each life; then the blow falls at any moment.
        deadline = time.monotonic() + 60
        while producer.acknowledged == before:
            assert time.monotonic() < deadline, f"no progress:\n{broker.log_tail()}\n{broker.metrics()}"
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.4))
        broker.kill()
        kills += 1
        started = time.monotonic()
        broker.start()
        slowest_restart = max(slowest_restart, time.monotonic() - started)
    producer.enough.set()
    producer.join(120)
    assert not producer.is_alive(), "the producer cannot finish"
    assert not producer.failures, producer.failures[:3]
    assert producer.acknowledged == producer.sent.count

    seen = librdkafka.consume(broker.bootstrap, "flights", PARTITIONS, producer.sent.count)
    assert seen.count == producer.sent.count, "something is there twice"
    assert seen.keys == producer.sent.keys, "something is lost, changed or out of order"
    ends = topics.ends(broker.bootstrap, "flights", PARTITIONS)
    assert sum(ends) == producer.sent.count, "records stand behind what was read"
    broker.kill()
    figure(
        f"{durability}: {kills} kills, {seen.count} records, {producer.sent_bytes / RING_BYTES:.0f} turns of"
        f" a {RING_BYTES >> 20} MiB ring, slowest start {slowest_restart * 1000:.0f} ms (seed {seed})"
    )
