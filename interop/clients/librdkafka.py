"""librdkafka through confluent-kafka."""

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from digest import TopicDigest


def produce(bootstrap, topic, records, codec, **settings):
    """Writes all records with an idempotent producer; raises on the first failed delivery."""
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": codec,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            **settings,
        }
    )
    failures = []

    def delivered(error, message):
        if error is not None:
            failures.append((error, message.key()))

    for key, value in records:
        producer.produce(topic, value, key, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(120) == 0, "records are still queued"
    assert not failures, failures[:3]


def consume(bootstrap, topic, partitions, count, **settings):
    """Reads `count` records of all `partitions` from the start."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused: partitions are assigned by hand",
            "enable.auto.commit": False,
            "check.crcs": True,
            **settings,
        }
    )
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
    digest = TopicDigest()
    while digest.count < count:
        messages = consumer.consume(min(10_000, count - digest.count), timeout=30)
        assert messages, f"only {digest.count} of {count} records came"
        for message in messages:
            assert message.error() is None, message.error()
            digest.add(message.partition(), message.key(), message.value())
    consumer.close()
    return digest
