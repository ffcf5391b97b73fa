"""aiokafka."""

import asyncio

import aiokafka
from aiokafka import TopicPartition

from digest import TopicDigest


def produce(bootstrap, topic, records, codec):
    """Writes all records with an idempotent producer; raises on the first failed delivery."""

    async def run():
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=131072,
        )
        await producer.start()
        deliveries = [await producer.send(topic, value, key) for key, value in records]
        await asyncio.gather(*deliveries)
        await producer.stop()

    asyncio.run(run())


def consume(bootstrap, topic, partitions, count):
    """Reads `count` records of all `partitions` from the start."""
    digest = TopicDigest()

    async def run():
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        await consumer.start()
        consumer.assign([TopicPartition(topic, p) for p in range(partitions)])
        await consumer.seek_to_beginning()
        while digest.count < count:
            polled = await consumer.getmany(timeout_ms=30_000, max_records=20_000)
            assert polled, f"only {digest.count} of {count} records came"
            for messages in polled.values():
                for message in messages:
                    digest.add(message.partition, message.key, message.value)
        await consumer.stop()

    asyncio.run(run())
    return digest
