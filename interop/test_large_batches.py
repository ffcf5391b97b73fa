"""Batches that are larger than what the journal takes: acknowledged ones survive power cuts, in order and byte for byte."""

import random

import broker as broker_module
import confluent_kafka
import pytest
import topics

MIB = 1024 * 1024
BATCH_BYTES_MAX = 64 * MIB
#: With kill -9 the disk forgets what was not synced.
POWER_CUT_DISK = {"OTTLA_TEST_POWER_CUT_DISK": "7"}


def values(seed):
    """Small values, and between them large ones that do not compress."""
    source = random.Random(seed)
    sizes = [100, 20 * MIB, 100, 9 * MIB, 9 * MIB, 1000, 30 * MIB, 100]
    return [source.randbytes(size) for size in sizes]


def write(bootstrap, topic, partition, written):
    """One record and one batch after the other; each is acknowledged before the next."""
    errors = []
    client = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "message.max.bytes": BATCH_BYTES_MAX,
            "message.timeout.ms": 60_000,
        }
    )
    for value in written:
        client.produce(topic, value, partition=partition, on_delivery=lambda error, _: errors.append(error))
        assert client.flush(60) == 0
    assert errors == [None] * len(written)


def read(bootstrap, topic, partition, count):
    """The first `count` values of the partition."""
    client = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "receive.message.max.bytes": 2 * BATCH_BYTES_MAX,
            "fetch.message.max.bytes": BATCH_BYTES_MAX,
            "fetch.max.bytes": BATCH_BYTES_MAX,
            "message.max.bytes": BATCH_BYTES_MAX,
        }
    )
    client.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
    found = []
    while len(found) < count:
        message = client.poll(30)
        assert message is not None and message.error() is None, f"{len(found)} of {count}: {message}"
        found.append(message.value())
    client.close()
    return found


@pytest.mark.parametrize("ring", [{}, {"ottla.wal.bytes": str(16 * MIB)}], ids=["ring", "small_ring"])
def test_large_batches_survive_power_cuts(tmp_path, ring):
    with broker_module.running(ring, POWER_CUT_DISK, tmp_path) as broker:
        topics.create(broker.bootstrap, "large", 2, max_message_bytes=BATCH_BYTES_MAX)
        kept = [[], []]
        for turn in range(3):
            for partition in (0, 1):
                written = values(2 * turn + partition)
                write(broker.bootstrap, "large", partition, written)
                kept[partition] += written
            broker.kill()
            broker.start()
            for partition in (0, 1):
                found = read(broker.bootstrap, "large", partition, len(kept[partition]))
                assert found == kept[partition]
        assert topics.ends(broker.bootstrap, "large", 2) == [len(kept[0]), len(kept[1])]
