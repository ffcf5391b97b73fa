#!/usr/bin/env python3
"""Writes the same five records with each Python client and codec: clients.py HOST:PORT. Topics are named golden_CLIENT_CODEC."""
import asyncio, sys
import aiokafka, confluent_kafka, kafka
from confluent_kafka.admin import AdminClient, NewTopic

boot = sys.argv[1]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = [(f"key-{n}".encode(), (f"value-{n}-" + "abc" * 40).encode()) for n in range(5)]
CLIENTS = ["java", "librdkafka", "kafka-python", "aiokafka", "kafkajs"]
admin = AdminClient({"bootstrap.servers": boot})
futures = admin.create_topics(
    [NewTopic(f"golden_{c}_{z}", 1, 1) for c in CLIENTS for z in CODECS])
for future in futures.values():
    future.result()
for codec in CODECS:
    producer = confluent_kafka.Producer({"bootstrap.servers": boot, "compression.type": codec,
                                         "linger.ms": 200, "enable.idempotence": True})
    for key, value in RECORDS:
        producer.produce(f"golden_librdkafka_{codec}", value, key, headers=[("source", b"client")])
    producer.flush()
    name = None if codec == "none" else codec
    producer = kafka.KafkaProducer(bootstrap_servers=boot, compression_type=name, linger_ms=200)
    for key, value in RECORDS:
        producer.send(f"golden_kafka-python_{codec}", value=value, key=key, headers=[("source", b"client")])
    producer.flush()

async def aio():
    for codec in CODECS:
        name = None if codec == "none" else codec
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=boot, compression_type=name, linger_ms=200)
        await producer.start()
        futures = [await producer.send(f"golden_aiokafka_{codec}", value=value, key=key, headers=[("source", b"client")])
                   for key, value in RECORDS]
        await asyncio.gather(*futures)
        await producer.stop()
asyncio.run(aio())

# A committed and an aborted transaction: four batches, two of them markers that the broker wrote.
admin.create_topics([NewTopic("golden_transactions", 1, 1)])["golden_transactions"].result()
producer = confluent_kafka.Producer({"bootstrap.servers": boot, "transactional.id": "golden"})
producer.init_transactions()
for end in (producer.commit_transaction, producer.abort_transaction):
    producer.begin_transaction()
    producer.produce("golden_transactions", b"value", b"key")
    producer.flush()
    end()
