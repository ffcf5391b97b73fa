"""Administration by other people's clients: Kafka's own tools and the libraries of other languages."""

import asyncio
import json

import aiokafka.admin
import confluent_kafka
import kafka
import kafka.admin
import pytest
from confluent_kafka import admin

import broker as broker_module
from clients import franz_go, java, kafkajs


@pytest.fixture(scope="module")
def server():
    with broker_module.running({"num.partitions": 2, "group.initial.rebalance.delay.ms": 0}) as running:
        yield running


def _results(futures):
    return {what: future.result(timeout=30) for what, future in futures.items()}


def test_confluent_kafka(server):
    client = admin.AdminClient({"bootstrap.servers": server.bootstrap})
    _results(client.create_topics([admin.NewTopic("c", 2, 1, config={"retention.ms": "5000"})]))
    _results(client.create_partitions([admin.NewPartitions("c", 3)]))
    assert len(client.list_topics("c", timeout=30).topics["c"].partitions) == 3

    topic = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, "c")
    change = admin.ConfigEntry("retention.ms", "6000", incremental_operation=admin.AlterConfigOpType.SET)
    changed = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, "c", incremental_configs=[change])
    _results(client.incremental_alter_configs([changed]))
    (described,) = _results(client.describe_configs([topic])).values()
    assert described["retention.ms"].value == "6000"
    assert described["retention.ms"].source == admin.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert described["cleanup.policy"].is_default

    broker = admin.ConfigResource(admin.ConfigResource.Type.BROKER, "1")
    change = admin.ConfigEntry("max.connections.per.ip", "500", incremental_operation=admin.AlterConfigOpType.SET)
    changed = admin.ConfigResource(admin.ConfigResource.Type.BROKER, "1", incremental_configs=[change])
    _results(client.incremental_alter_configs([changed]))
    (described,) = _results(client.describe_configs([broker])).values()
    assert described["max.connections.per.ip"].value == "500"
    assert described["node.id"].is_read_only

    producer = confluent_kafka.Producer({"bootstrap.servers": server.bootstrap})
    for number in range(10):
        producer.produce("c", str(number), partition=0)
    assert producer.flush(30) == 0
    first = confluent_kafka.TopicPartition("c", 0)
    asked = {first: admin.OffsetSpec.latest()}
    assert [found.offset for found in _results(client.list_offsets(asked)).values()] == [10]
    gone = confluent_kafka.TopicPartition("c", 0, 4)
    assert [deleted.low_watermark for deleted in _results(client.delete_records([gone])).values()] == [4]

    cluster = client.describe_cluster(request_timeout=30).result(timeout=30)
    assert [node.id for node in cluster.nodes] == [1] and cluster.controller.id == 1
    assert client.list_consumer_groups(request_timeout=30).result(timeout=30).errors == []
    missing = client.describe_configs([admin.ConfigResource(admin.ConfigResource.Type.TOPIC, "missing")])
    with pytest.raises(confluent_kafka.KafkaException) as refused:
        _results(missing)
    assert refused.value.args[0].code() == confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART
    _results(client.delete_topics(["c"]))
    assert "c" not in client.list_topics(timeout=30).topics


def test_kafka_python(server):
    client = kafka.admin.KafkaAdminClient(bootstrap_servers=server.bootstrap)
    client.create_topics([kafka.admin.NewTopic("p", 2, 1)])
    client.create_partitions({"p": kafka.admin.NewPartitions(4)})
    (described,) = client.describe_topics(["p"])
    assert len(described["partitions"]) == 4
    assert "p" in client.list_topics()
    assert client.describe_cluster()["controller_id"] == 1
    assert client.list_groups() == []
    assert [node["node_id"] for node in client.describe_metadata_quorum()["nodes"]] == [1]
    with pytest.raises(kafka.errors.TopicAlreadyExistsError):
        client.create_topics([kafka.admin.NewTopic("p", 2, 1)])
    client.delete_topics(["p"])
    assert "p" not in client.list_topics()
    client.close()


def test_aiokafka(server):
    async def work():
        client = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
        await client.start()
        await client.create_topics([aiokafka.admin.NewTopic("a", 2, 1)])
        await client.create_partitions({"a": aiokafka.admin.NewPartitions(4)})
        (described,) = await client.describe_topics(["a"])
        assert len(described["partitions"]) == 4
        resource = aiokafka.admin.config_resource.ConfigResource("TOPIC", "a", {"retention.ms": "70000"})
        await client.alter_configs({resource})
        (answer,) = await client.describe_configs([resource])
        values = {row[0]: row[1] for row in answer.resources[0][4]}
        assert values["retention.ms"] == "70000"
        assert (await client.describe_cluster())["controller_id"] == 1
        assert isinstance(await client.list_consumer_groups(), list)
        await client.delete_topics(["a"])
        assert "a" not in await client.list_topics()
        await client.close()

    asyncio.run(asyncio.wait_for(work(), 60))


def test_kafkajs(server):
    told = kafkajs.administer(server.bootstrap, "js", "js-group")
    expected = {"created": True, "createdAgain": False, "partitions": 4, "retention": "70000", "brokers": 1}
    expected |= {"end": "10", "endByTime": "10", "committed": "7", "listed": True, "state": "Empty"}
    assert told == expected | {"start": "4", "reassignments": 0, "left": False}


def test_franz_go(server):
    told = json.loads(franz_go.run("admin", server.bootstrap, "go", "go-group"))
    exists = told.pop("created again")
    assert exists.startswith("TOPIC_ALREADY_EXISTS"), exists
    assert told.pop("retention") == ["70000", "DYNAMIC_TOPIC_CONFIG"]
    numbers = {"created": 2, "produced": 12, "ends": 12, "starts": 4, "fetched": 3, "log dirs": 1, "cluster": 1}
    names = {"groups": "Empty", "described": "Empty", "deleted group": "go-group", "deleted": "go"}
    done = dict.fromkeys(("partitions", "altered", "committed", "forgotten", "deleted records"))
    assert told == numbers | names | done


def test_kafkas_own_tools(server):
    where = ("--bootstrap-server", server.bootstrap)
    topics = lambda *arguments: java.run("TopicCommand", *where, *arguments)  # noqa: E731
    topics("--create", "--topic", "j", "--partitions", 2, "--config", "retention.ms=5000")
    assert "PartitionCount: 2" in topics("--describe", "--topic", "j")
    topics("--alter", "--topic", "j", "--partitions", 3)
    assert "retention.ms=5000" in topics("--describe", "--topic", "j")
    assert "j" in topics("--list").split()
    java.run("VerifiableProducer", *where, "--topic", "j", "--max-messages", 10, "--acks", -1)
    offsets = java.run("GetOffsetShell", *where, "--topic", "j", "--time", "latest")
    assert sum(int(line.rsplit(":", 1)[1]) for line in offsets.split()) == 10
    assert '"logDirs"' in java.run("LogDirsCommand", *where, "--describe", "--topic-list", "j")
    assert "Produce(0): 0 to 13" in java.run("BrokerApiVersionsCommand", *where)
    quorum = java.run("MetadataQuorumCommand", *where, "describe", "--status")
    assert "LeaderId:" in quorum
    assert "metadata.version" in java.run("FeatureCommand", *where, "describe")
    assert "Cluster ID" in java.run("ClusterTool", "cluster-id", *where)
    topics("--delete", "--topic", "j")
    assert "j" not in topics("--list").split()
