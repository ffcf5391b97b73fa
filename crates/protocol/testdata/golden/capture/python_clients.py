#!/usr/bin/env python3
"""Has three Python clients do what users do: python_clients.py BOOTSTRAP [SASL_BOOTSTRAP|- [CLIENT...]]

Needs confluent-kafka (librdkafka), kafka-python and aiokafka. A step that a client or the broker refuses
is said and passed over: refusals are frames too.
"""

import asyncio
import sys
import time
import traceback

BOOTSTRAP = sys.argv[1]
SASL = next((a for a in sys.argv[2:3] if a != "-"), None)
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def step(what):
    def run(function):
        try:
            function()
            print("done", what, flush=True)
        except Exception:
            print("failed", what, traceback.format_exc(limit=1), flush=True)

    return run


def librdkafka():
    from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
    from confluent_kafka import IsolationLevel, TopicCollection, ElectionType
    from confluent_kafka.admin import (
        AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient, AlterConfigOpType,
        ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourcePatternType,
        ResourceType, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion,
    )

    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})

    def wait(futures):
        for future in futures.values() if isinstance(futures, dict) else [futures]:
            try:
                future.result(20)
            except Exception as error:
                print("  refused:", error)

    wait(admin.create_topics([NewTopic("rd", 2, 1, config={"retention.ms": "86400000"}), NewTopic("rd-gone", 1, 1)]))
    wait(admin.create_topics([NewTopic("rd", 2, 1)]))
    wait(admin.create_partitions([NewPartitions("rd", 3)]))
    time.sleep(1)

    @step("librdkafka produce")
    def _():
        for codec in CODECS:
            producer = Producer({
                "bootstrap.servers": BOOTSTRAP, "compression.type": codec, "linger.ms": 20,
                "enable.idempotence": codec in ("lz4", "zstd"), "acks": "1" if codec == "gzip" else "all",
            })
            for index in range(12):
                producer.produce("rd", key=f"k{index}", value=f"value {index} " * 8, headers={"h": b"1"})
            producer.flush(20)

    @step("librdkafka acks 0")
    def _():
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "acks": 0})
        producer.produce("rd", value="nobody answers")
        producer.flush(20)

    @step("librdkafka consume assigned")
    def _():
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition("rd", index, 0) for index in range(3)])
        print(sum(1 for _ in range(60) if consumer.poll(0.1)), "records")
        consumer.get_watermark_offsets(TopicPartition("rd", 0), 10)
        consumer.close()

    @step("librdkafka transaction")
    def _():
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": "rd-tx"})
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce("rd", value="committed")
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "rd-tx-group"})
        consumer.subscribe(["rd"])
        consumer.poll(8)
        producer.send_offsets_to_transaction(
            [TopicPartition("rd", 0, 1)], consumer.consumer_group_metadata(), 20)
        producer.commit_transaction(20)
        producer.begin_transaction()
        producer.produce("rd", value="aborted")
        producer.flush(10)
        producer.abort_transaction(20)
        consumer.close()

    for protocol in ("classic", "consumer"):

        @step(f"librdkafka consume {protocol}")
        def _():
            consumer = Consumer({
                "bootstrap.servers": BOOTSTRAP, "group.id": f"rd-{protocol}", "group.protocol": protocol,
                "auto.offset.reset": "earliest", "isolation.level": "read_committed",
                **({"group.instance.id": "static-1"} if protocol == "classic" else {}),
            })
            consumer.subscribe(["rd", "^rd-p.*"])
            for _ in range(60):
                consumer.poll(0.2)
            consumer.commit(asynchronous=False)
            consumer.committed([TopicPartition("rd", 0)], 10)
            consumer.offsets_for_times([TopicPartition("rd", 0, 1)], 10)
            consumer.get_watermark_offsets(TopicPartition("rd", 0), 10)
            consumer.close()

    @step("librdkafka admin")
    def _():
        topic = ConfigResource(ConfigResource.Type.TOPIC, "rd")
        wait(admin.describe_configs([topic, ConfigResource(ConfigResource.Type.BROKER, "1")]))
        topic.set_config("retention.ms", "3600000")
        wait(admin.alter_configs([topic]))
        change = ConfigResource(ConfigResource.Type.TOPIC, "rd", incremental_configs=[
            ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)])
        wait(admin.incremental_alter_configs([change]))
        wait(admin.list_consumer_groups())
        wait(admin.describe_consumer_groups(["rd-classic", "rd-consumer", "absent"]))
        wait(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("rd-classic")]))
        wait(admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions("rd-classic", [TopicPartition("rd", 0, 2)])]))
        wait(admin.describe_topics(TopicCollection(["rd", "absent"]), include_authorized_operations=True))
        wait(admin.describe_cluster(include_authorized_operations=True))
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp(), OffsetSpec.for_timestamp(5)):
            wait(admin.list_offsets({TopicPartition("rd", 0): spec}, isolation_level=IsolationLevel.READ_COMMITTED))
        acl = AclBinding(ResourceType.TOPIC, "rd", ResourcePatternType.LITERAL, "User:alice", "*",
                         AclOperation.READ, AclPermissionType.ALLOW)
        wait(admin.create_acls([acl]))
        any_acl = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None,
                                   AclOperation.ANY, AclPermissionType.ANY)
        wait(admin.describe_acls(any_acl))
        wait(admin.delete_acls([any_acl]))
        wait(admin.alter_user_scram_credentials([UserScramCredentialUpsertion(
            "bob", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"secret")]))
        wait(admin.describe_user_scram_credentials(["bob", "nobody"]))
        wait(admin.delete_records([TopicPartition("rd", 0, 1)]))
        wait(admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition("rd", 0)]))
        wait(admin.delete_consumer_groups(["rd-consumer", "absent"]))
        wait(admin.delete_topics(["rd-gone", "absent"]))
        admin.list_topics(timeout=10)

    if SASL:

        @step("librdkafka SASL")
        def _():
            for mechanism, user, password in (
                ("PLAIN", "alice", "alice-secret"), ("SCRAM-SHA-256", "scram", "scram-secret"), ("PLAIN", "alice", "wrong")):
                AdminClient({
                    "bootstrap.servers": SASL, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism,
                    "sasl.username": user, "sasl.password": password, "error_cb": lambda e: None,
                }).list_topics(timeout=4)


def kafka_python():
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic("kp", 2, 1), NewTopic("kp-gone", 1, 1)])
    time.sleep(1)
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):

        @step(f"kafka-python produce {codec}")
        def _():
            producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, linger_ms=20)
            for index in range(8):
                producer.send("kp", key=b"k%d" % index, value=b"value %d " % index * 8, headers=[("h", b"1")])
            producer.flush(20)
            producer.close()

    @step("kafka-python consume assigned")
    def _():
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", consumer_timeout_ms=3000)
        consumer.assign([TopicPartition("kp", 0), TopicPartition("kp", 1)])
        print(sum(1 for _ in consumer), "records")
        consumer.offsets_for_times({TopicPartition("kp", 0): 1})
        consumer.close()

    @step("kafka-python transaction")
    def _():
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id="kp-tx")
        producer.init_transactions()
        producer.begin_transaction()
        producer.send("kp", b"committed")
        producer.commit_transaction()
        producer.close()

    @step("kafka-python consume")
    def _():
        consumer = KafkaConsumer("kp", bootstrap_servers=BOOTSTRAP, group_id="kp-group",
                                 auto_offset_reset="earliest", consumer_timeout_ms=6000)
        print(sum(1 for _ in consumer), "records")
        consumer.commit()
        partition = TopicPartition("kp", 0)
        consumer.end_offsets([partition])
        consumer.beginning_offsets([partition])
        consumer.offsets_for_times({partition: 1})
        consumer.close()

    def admin_steps():
        yield "configs", lambda: admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "kp")])
        yield "alter", lambda: admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "kp", {"retention.ms": "7200000"})])
        yield "partitions", lambda: admin.create_partitions({"kp": NewPartitions(3)})
        yield "groups", lambda: admin.list_groups()
        yield "describe groups", lambda: admin.describe_groups(["kp-group"])
        yield "offsets", lambda: admin.list_group_offsets("kp-group")
        yield "topics", lambda: admin.describe_topics(["kp"])
        yield "cluster", lambda: admin.describe_cluster()
        yield "log dirs", lambda: admin.describe_log_dirs()
        yield "records", lambda: admin.delete_records({TopicPartition("kp", 0): 1})
        yield "delete groups", lambda: admin.delete_groups(["kp-group"])
        yield "delete topics", lambda: admin.delete_topics(["kp-gone"])

    for name, run in admin_steps():
        step(f"kafka-python {name}")(run)

    if SASL:

        @step("kafka-python SASL")
        def _():
            KafkaAdminClient(bootstrap_servers=SASL, security_protocol="SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-256",
                             sasl_plain_username="scram", sasl_plain_password="scram-secret").list_topics()


async def aio():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin.create_topics([NewTopic("aio", 2, 1), NewTopic("aio-gone", 1, 1)])
    await asyncio.sleep(1)
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        try:
            producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, enable_idempotence=codec == "lz4")
            await producer.start()
            for index in range(6):
                await producer.send("aio", b"value %d " % index * 8, key=b"k", headers=[("h", b"1")])
            await producer.stop()
        except Exception as error:
            print("failed aiokafka produce", codec, error)
    consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition("aio", 0), TopicPartition("aio", 1)])
    for _ in range(3):
        await consumer.getmany(timeout_ms=1000)
    await consumer.end_offsets([TopicPartition("aio", 0)])
    await consumer.stop()
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id="aio-tx")
    await producer.start()
    async with producer.transaction():
        await producer.send("aio", b"committed")
        await producer.send_offsets_to_transaction({TopicPartition("aio", 0): 1}, "aio-group")
    await producer.stop()
    consumer = AIOKafkaConsumer("aio", bootstrap_servers=BOOTSTRAP, group_id="aio-group",
                                auto_offset_reset="earliest", isolation_level="read_committed")
    await consumer.start()
    for _ in range(4):
        await consumer.getmany(timeout_ms=1000)
    await consumer.commit()
    await consumer.end_offsets([TopicPartition("aio", 0)])
    await consumer.offsets_for_times({TopicPartition("aio", 0): 1})
    await consumer.stop()
    for name, call in (
        ("configs", admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "aio")])),
        ("groups", admin.list_consumer_groups()),
        ("describe groups", admin.describe_consumer_groups(["aio-group"])),
        ("offsets", admin.list_consumer_group_offsets("aio-group")),
        ("topics", admin.describe_topics(["aio"])),
        ("cluster", admin.describe_cluster()),
        ("delete", admin.delete_topics(["aio-gone"])),
    ):
        try:
            await call
        except Exception as error:
            print("failed aiokafka", name, error)
    await admin.close()


CLIENTS = {"librdkafka": librdkafka, "kafka-python": kafka_python, "aiokafka": lambda: asyncio.run(aio())}
for name in sys.argv[3:] or CLIENTS:
    step(name)(CLIENTS[name])
