"""The main job on real input: what one client wrote, every other client reads, byte for byte."""

import time

import pytest

import digest
import topics
from clients import aio_kafka, franz_go, java, kafka_python, kafkajs, kcat, librdkafka, ottla
from flights import flights

CONSUMERS = [librdkafka, kafka_python, aio_kafka, java, kcat, franz_go, ottla]
WRITERS = [
    (librdkafka, "zstd"),
    (librdkafka, "lz4"),
    (kafka_python, "gzip"),
    (aio_kafka, "lz4"),
    (kafkajs, "snappy"),
    (java, "snappy"),
    (kcat, "none"),
    (franz_go, "zstd"),
    (ottla, "zstd"),
]


def name(module):
    return module.__name__.removeprefix("clients.")


@pytest.mark.parametrize("writer,codec", WRITERS, ids=lambda v: v if isinstance(v, str) else name(v))
def test_all_read_what_one_wrote(broker, topic, writer, codec, figure):
    records = flights()
    topics.create(broker.bootstrap, topic, 4)
    started = time.monotonic()
    writer.produce(broker.bootstrap, topic, records, codec)
    seconds = [f"{name(writer)} wrote {time.monotonic() - started:.1f} s"]

    expected = digest.of_records(records).keys
    partitions = None
    for reader in CONSUMERS:
        started = time.monotonic()
        seen = reader.consume(broker.bootstrap, topic, 4, len(records))
        seconds.append(f"{name(reader)} {time.monotonic() - started:.1f}")
        assert seen.count == len(records)
        assert seen.keys == expected, f"{name(reader)} read something else"
        partitions = partitions or seen.partitions
        assert seen.partitions == partitions, f"{name(reader)} disagrees with {name(CONSUMERS[0])}"
    figure(f"{len(records)} records, {codec}: " + ", ".join(seconds))
