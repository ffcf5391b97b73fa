"""A member of a group on librdkafka: BOOTSTRAP TOPIC GROUP. Says what it does on standard output."""

import sys

import confluent_kafka
from said import say

bootstrap, topic, group = sys.argv[1:]


def names(partitions):
    return [partition.partition for partition in partitions]


consumer = confluent_kafka.Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 500,
        "partition.assignment.strategy": "range",
        "reconnect.backoff.max.ms": 200,
        "log_level": 3,
    }
)
consumer.subscribe(
    [topic],
    on_assign=lambda _, partitions: say("assigned", *names(partitions)),
    on_revoke=lambda _, partitions: say("revoked", *names(partitions)),
    on_lost=lambda _, partitions: say("revoked", *names(partitions)),
)
while True:
    messages = [m for m in consumer.consume(50, 0.2) if not m.error()]
    for message in messages:
        say("read", message.partition(), message.offset())
    if not messages:
        continue
    try:
        for done in consumer.commit(asynchronous=False):
            if not done.error:
                say("committed", done.partition, done.offset)
    except confluent_kafka.KafkaException as failure:
        say("failed", failure)
