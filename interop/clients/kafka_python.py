"""kafka-python."""

import kafka
from kafka import TopicPartition

from digest import TopicDigest


def produce(bootstrap, topic, records, codec):
    """Writes all records with the client's defaults; raises on the first failed delivery."""
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        linger_ms=20,
        batch_size=131072,
    )
    futures = [producer.send(topic, value, key) for key, value in records]
    producer.flush(timeout=120)
    for future in futures:
        future.get(timeout=0)
    producer.close()


def consume(bootstrap, topic, partitions, count):
    """Reads `count` records of all `partitions` from the start."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, check_crcs=True, group_id=None)
    assigned = [TopicPartition(topic, p) for p in range(partitions)]
    consumer.assign(assigned)
    consumer.seek_to_beginning(*assigned)
    digest = TopicDigest()
    while digest.count < count:
        polled = consumer.poll(timeout_ms=30_000, max_records=20_000)
        assert polled, f"only {digest.count} of {count} records came"
        for messages in polled.values():
            for message in messages:
                digest.add(message.partition, message.key, message.value)
    consumer.close()
    return digest
