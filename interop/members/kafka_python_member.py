"""A member of a group on kafka-python: BOOTSTRAP TOPIC GROUP. Says what it does on standard output."""

import sys

import kafka
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError
from said import say

bootstrap, topic, group = sys.argv[1:]


class Listener(kafka.ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        say("assigned", *(partition.partition for partition in assigned))

    def on_partitions_revoked(self, revoked):
        say("revoked", *(partition.partition for partition in revoked))


consumer = kafka.KafkaConsumer(
    bootstrap_servers=bootstrap,
    group_id=group,
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    session_timeout_ms=6000,
    heartbeat_interval_ms=500,
    request_timeout_ms=20_000,
    partition_assignment_strategy=[RangePartitionAssignor],
    max_poll_records=50,
)
consumer.subscribe([topic], listener=Listener())
while True:
    read = consumer.poll(timeout_ms=200)
    if not read:
        continue
    ends = {}
    for partition, records in read.items():
        for record in records:
            say("read", record.partition, record.offset)
        ends[partition] = records[-1].offset + 1
    try:
        # Nothing but what was read: the position may be ahead of it.
        consumer.commit({p: kafka.OffsetAndMetadata(end, "", -1) for p, end in ends.items()})
        for partition, end in ends.items():
            say("committed", partition.partition, end)
    except KafkaError as failure:
        say("failed", failure)
