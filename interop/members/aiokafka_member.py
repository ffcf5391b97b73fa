"""A member of a group on aiokafka: BOOTSTRAP TOPIC GROUP. Says what it does on standard output."""

import asyncio
import sys

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from said import say

bootstrap, topic, group = sys.argv[1:]


class Listener(aiokafka.ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned):
        say("assigned", *(partition.partition for partition in assigned))

    async def on_partitions_revoked(self, revoked):
        say("revoked", *(partition.partition for partition in revoked))


async def main():
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
        partition_assignment_strategy=[RangePartitionAssignor],
    )
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    while True:
        read = await consumer.getmany(timeout_ms=200, max_records=50)
        ends = {}
        for partition, records in read.items():
            for record in records:
                say("read", record.partition, record.offset)
            if records:
                ends[partition] = records[-1].offset + 1
        if not ends:
            continue
        try:
            await consumer.commit(ends)
            for partition, end in ends.items():
                say("committed", partition.partition, end)
        except KafkaError as failure:
            say("failed", failure)


asyncio.run(main())
