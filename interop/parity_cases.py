"""Requests whose answers Ottla and Kafka 4.4 are compared on: usual ones, edges, and wrong ones.

They are sent in this order on one broker that begins empty, so a later one sees what an earlier one
did. `parity.py` records Kafka's answers, `test_parity.py` holds Ottla's against them.
"""

import struct

import batches
import parity_edges
import parity_flows
import parity_groups
import parity_versions
import wire
from parity_case import Case

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)
#: Java reads some of these as regular expressions, and others not.
EXPRESSIONS = ("a(b", "(?<name>a)b*+", "(?P<x>a)", "*a", "a{2;1}", "[a&&[^b]]", "[z-a]", r"\p{Foo}", r"\y", r"\Qa(")


def _create(name, **fields):
    return {"Name": name, "NumPartitions": 1, "ReplicationFactor": 1, **fields}


def _creations():
    def create(title, version, *topics, **fields):
        request = {"Topics": list(topics), "timeoutMs": 10000, **fields}
        return Case(f"CreateTopics: {title}", "CreateTopics", version, request)

    def config(name, value):
        return {"Configs": [{"Name": name, "Value": value}]}

    def assigned(*partitions):
        rows = [{"PartitionIndex": i, "BrokerIds": ids} for i, ids in partitions]
        return {"NumPartitions": -1, "ReplicationFactor": -1, "Assignments": rows}

    for version in range(2, 8):
        yield create(f"version {version}", version, _create(f"v{version}"))
    yield create("defaults", 7, _create("defaults", NumPartitions=-1, ReplicationFactor=-1))
    yield create("that is there", 7, _create("v7"))
    yield create("same name twice", 7, _create("twice"), _create("twice"))
    yield create("nothing", 7)
    for name in ("", ".", "..", "a b", "ä", "x" * 249, "x" * 250, "a/b", "__cluster_metadata"):
        yield create(f"name {name[:5]!r} of {len(name)}", 7, _create(name))
    yield create("colliding", 7, _create("co.llide"))
    yield create("collision", 7, _create("co_llide"))
    for count in (0, -1, -2, 10001):
        yield create(f"{count} partitions", 7, _create(f"p{count}", NumPartitions=count))
    for factor in (0, -1, -2, 2):
        yield create(f"{factor} replicas", 7, _create(f"r{factor}", ReplicationFactor=factor))
    yield create("validated", 7, _create("validated"), validateOnly=True)
    yield create("validated and there", 7, _create("v7"), validateOnly=True)
    yield create("assigned", 7, _create("assigned", **assigned((0, [1]), (1, [1]))))
    yield create("assigned with count", 7, _create("as1", **assigned((0, [1])) | {"NumPartitions": 1}))
    yield create("assigned with factor", 7, _create("as2", **assigned((0, [1])) | {"ReplicationFactor": 1}))
    yield create("assigned to nobody", 7, _create("as3", **assigned((0, []))))
    yield create("assigned to 9", 7, _create("as4", **assigned((0, [9]))))
    yield create("assigned to -1", 7, _create("as5", **assigned((0, [-1]))))
    yield create("assigned twice to 1", 7, _create("as6", **assigned((0, [1, 1]))))
    yield create("assigned with a gap", 7, _create("as7", **assigned((0, [1]), (2, [1]))))
    yield create("assigned one twice", 7, _create("as8", **assigned((0, [1]), (0, [1]))))
    for name, value in [
        ("retention.ms", "5"),
        ("retention.ms", "-2"),
        ("retention.ms", "x"),
        ("retention.ms", ""),
        ("retention.ms", None),
        ("no.such.config", "1"),
        ("segment.bytes", "1000"),
        ("cleanup.policy", "x"),
        ("cleanup.policy", ""),
        ("message.timestamp.type", "x"),
        ("min.insync.replicas", "0"),
        ("compression.type", "x"),
        ("compression.gzip.level", "0"),
        ("compression.lz4.level", "18"),
        ("compression.zstd.level", "23"),
        ("max.message.bytes", "-1"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("leader.replication.throttled.replicas", "x"),
        ("leader.replication.throttled.replicas", "0:1,1:1"),
        ("unclean.leader.election.enable", "x"),
        ("preallocate", "TRUE"),
        ("flush.ms", "9223372036854775808"),
        ("retention.ms", "x" * 32768),
        ("max.decompressed.message.bytes", "0"),
        ("message.downconversion.enable", "true"),
    ]:
        shown = "null" if value is None else repr(value[:20])
        title = f"{name} = {shown}"
        yield create(title, 7, _create(f"c-{name}-{shown}".replace("'", "").replace(":", ".").replace(",", "-"), **config(name, value)))
    both = [{"Name": "min.compaction.lag.ms", "Value": "9"}, {"Name": "max.compaction.lag.ms", "Value": "5"}]
    yield create("lags that contradict", 7, _create("lags", Configs=both))
    same = [{"Name": "retention.ms", "Value": "9"}, {"Name": "retention.ms", "Value": "5"}]
    yield create("a config twice", 7, _create("same-config", Configs=same))


def _partitions():
    def more(title, *topics, version=3, **fields):
        request = {"Topics": list(topics), "TimeoutMs": 10000, **fields}
        return Case(f"CreatePartitions: {title}", "CreatePartitions", version, request)

    def topic(name, count, assignments=None):
        rows = None if assignments is None else [{"BrokerIds": ids} for ids in assignments]
        return {"Name": name, "Count": count, "Assignments": rows}

    for version in range(4):
        yield more(f"version {version}", topic("defaults", 5 + version), version=version)
    yield more("as many", topic("defaults", 8))
    yield more("fewer", topic("defaults", 2))
    yield more("zero", topic("defaults", 0))
    yield more("negative", topic("defaults", -1))
    yield more("of a missing topic", topic("missing", 2))
    yield more("one twice", topic("defaults", 9), topic("defaults", 10))
    yield more("validated", topic("defaults", 9), ValidateOnly=True)
    yield more("assigned", topic("assigned", 3, [[1]]))
    yield more("assigned too few", topic("assigned", 6, [[1]]))
    yield more("assigned to 7", topic("assigned", 4, [[7]]))
    yield more("assigned to two", topic("assigned", 4, [[1, 2]]))
    yield more("assigned to nobody", topic("assigned", 4, [[]]))
    yield more("too many", topic("assigned", 20000))


def _metadata():
    def ask(title, version, **fields):
        return Case(f"Metadata: {title}", "Metadata", version, fields)

    def named(*names, **fields):
        return [{"Name": name, **fields} for name in names]

    for version in range(14):
        yield ask(f"version {version}", version, Topics=named("v7"), AllowAutoTopicCreation=False)
    yield ask("none", 13, Topics=[])
    yield ask("missing and wrong names", 13, Topics=named("missing", "a b", "", "x" * 250), AllowAutoTopicCreation=False)
    yield ask("one twice", 13, Topics=named("v7", "v7"), AllowAutoTopicCreation=False)
    unknown = "11111111-2222-3333-4444-555555555555"
    yield ask("unknown id", 12, Topics=[{"TopicId": unknown, "Name": None}])
    yield ask("no name and no id", 12, Topics=[{"Name": None}])
    yield ask("no name before ids count", 10, Topics=[{"TopicId": unknown, "Name": None}])
    yield ask("operations", 8, Topics=named("v7"), IncludeClusterAuthorizedOperations=True, IncludeTopicAuthorizedOperations=True)
    yield ask("created by asking", 9, Topics=named("auto"), AllowAutoTopicCreation=True)
    for version in range(3):
        flags = {"EndpointType": 1} if version else {}
        yield Case(f"DescribeCluster: version {version}", "DescribeCluster", version, {"IncludeClusterAuthorizedOperations": True, **flags})
    yield Case("DescribeCluster: controllers", "DescribeCluster", 1, {"EndpointType": 2})
    yield Case("DescribeCluster: no such type", "DescribeCluster", 1, {"EndpointType": 3})

    def describe(title, names, **fields):
        request = {"Topics": named(*names), **fields}
        return Case(f"DescribeTopicPartitions: {title}", "DescribeTopicPartitions", 0, request)

    yield describe("some", ["v7", "missing", "a b"])
    yield describe("limited", ["defaults", "v7"], ResponsePartitionLimit=3)
    yield describe("from a cursor", ["defaults", "v7"], Cursor={"TopicName": "defaults", "PartitionIndex": 6})
    yield describe("negative cursor", ["defaults"], Cursor={"TopicName": "defaults", "PartitionIndex": -1})


def _produce():
    def send(title, version, data, acks=-1, topic="v7", partition=0, transaction=None):
        partitions = [{"Index": partition, "Records": data}]
        row = {"Name": topic, "PartitionData": partitions}
        if version >= 13:
            row = {"TopicId": f"id of {topic}", "PartitionData": partitions}
        request = {"Acks": acks, "TimeoutMs": 5000, "TopicData": [row], "TransactionalId": transaction}
        return Case(f"Produce: {title}", "Produce", version, request)

    one = batches.batch
    for version in range(3, 14):
        yield send(f"version {version}", version, one([b"a"]))
    yield send("acks 1", 12, one([b"a"]), acks=1)
    for acks in (2, -2, 100):
        yield send(f"acks {acks}", 12, one([b"a"]), acks=acks)
    yield send("missing topic", 12, one([b"a"]), topic="missing")
    yield send("missing partition", 12, one([b"a"]), partition=7)
    yield send("negative partition", 12, one([b"a"]), partition=-1)
    yield send("unknown id", 13, one([b"a"]), topic="missing")
    yield send("null", 12, None)
    yield send("nothing", 12, b"")
    yield send("two batches", 12, one([b"a"]) + one([b"b"]))
    yield send("a cut batch", 12, one([b"abc"])[:-1])
    yield send("a cut header", 12, one([b"abc"])[:30])
    yield send("a byte too many", 12, one([b"abc"]) + b"x", topic="v6")
    yield send("wrong CRC", 12, one([b"abc"], crc=7))
    for magic in (0, 1, 3):
        yield send(f"magic {magic}", 12, one([b"abc"], magic=magic))
    yield send("base offset 5", 12, one([b"abc"], base_offset=5))
    yield send("leader epoch 77", 12, one([b"abc"], leader_epoch=77))
    yield send("no records", 12, one([]))
    yield send("count too high", 12, one([b"a"], count=2))
    yield send("last offset too high", 12, one([b"a"], last_delta=5))
    yield send("control batch", 12, one([b"a"], attributes=0x20))
    yield send("log append time bit", 12, one([b"a"], attributes=0x08), topic="v6")
    yield send("unknown codec", 12, one([b"a"], attributes=0x05))
    yield send("gzip that is none", 12, one([b"a"], attributes=0x01))
    yield send("transactional without id", 12, one([b"a"], attributes=0x10, producer=(5, 0, 0)))
    yield send("too large", 12, one([b"x" * 1100000]))
    yield send("too far ahead", 12, one([b"a", b"b"], timestamp="ahead"))
    yield send("no timestamp", 12, one([b"a"], timestamp=-1))
    yield send("zstd in version 6", 6, batches.compressed([b"a" * 50], "zstd"))
    yield send("zstd in version 7", 7, batches.compressed([b"a" * 50], "zstd"))
    yield send("sequence from the middle", 12, one([b"a"], producer=(900001, 0, 5)))
    yield send("sequence again", 12, one([b"a"], producer=(900001, 0, 5)))
    yield send("sequence with a gap", 12, one([b"a"], producer=(900001, 0, 9)))
    yield send("next epoch, not from 0", 12, one([b"a"], producer=(900001, 1, 6)))
    yield send("next epoch", 12, one([b"a"], producer=(900001, 1, 0)))
    yield send("last epoch", 12, one([b"a"], producer=(900001, 0, 6)))
    yield send("negative sequence", 12, one([b"a"], producer=(900001, 1, -1)))
    limits = [{"Name": "max.decompressed.message.bytes", "Value": "1000"}]
    create = {"Topics": [_create("limited", Configs=limits)], "timeoutMs": 10000}
    yield Case("CreateTopics: limited records", "CreateTopics", 7, create)
    for size in (985, 989, 990, 991, 992, 993, 994, 995, 999, 1001, 5000):
        title = f"record of {size} decompressed to more than 1000"
        yield send(f"gzip, {title}", 12, batches.compressed([b"a" * size], "gzip"), topic="limited")
    yield send("not compressed, record of 5000", 12, one([b"a" * 5000]), topic="limited")
    small = batches.compressed([b"a" * 500] * 20, "gzip")
    yield send("gzip, 20 records of 500", 12, small, topic="limited")
    times = [{"Name": "message.timestamp.before.max.ms", "Value": "60000"}]
    times.append({"Name": "message.timestamp.after.max.ms", "Value": "60000"})
    create = {"Topics": [_create("timed", Configs=times)], "timeoutMs": 10000}
    yield Case("CreateTopics: a window of times", "CreateTopics", 7, create)
    yield send("now", 12, one([b"a"], timestamp="now"), topic="timed")
    for when in ("behind", "ahead"):
        for version in (7, 12):
            late = one([b"a", b"b"], timestamp=when)
            yield send(f"too far {when}, version {version}", version, late, topic="timed")
    appended = [{"Name": "message.timestamp.type", "Value": "LogAppendTime"}]
    create = {"Topics": [_create("appended", Configs=appended)], "timeoutMs": 10000}
    yield Case("CreateTopics: log append time", "CreateTopics", 7, create)
    yield send("to log append time", 12, one([b"a"], timestamp="ahead"), topic="appended")
    compacted = [{"Name": "cleanup.policy", "Value": "compact"}]
    create = {"Topics": [_create("compacted", Configs=compacted)], "timeoutMs": 10000}
    yield Case("CreateTopics: compacted", "CreateTopics", 7, create)
    for version in (7, 12, 13):
        yield send(f"no keys in a compacted topic, version {version}", version, one([b"a", b"b"]), topic="compacted")


def _fetch():
    def fetch(title, version, topic="v7", partition=0, offset=0, epoch=-1, **fields):
        part = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
        part["CurrentLeaderEpoch"] = epoch
        row = {"Topic": topic} if version < 13 else {"TopicId": f"id of {topic}"}
        request = {"MaxWaitMs": 0, "MinBytes": 1, "MaxBytes": 1 << 20, "SessionEpoch": -1}
        request["Topics"] = [row | {"Partitions": [part]}]
        return Case(f"Fetch: {title}", "Fetch", version, request | fields)

    for version in range(4, 19):
        yield fetch(f"version {version}", version)
    yield fetch("read committed", 12, IsolationLevel=1)
    yield fetch("beyond the end", 12, offset=1 << 40)
    yield fetch("negative offset", 12, offset=-5)
    yield fetch("missing topic", 12, topic="missing")
    yield fetch("unknown id", 13, topic="missing")
    yield fetch("missing partition", 12, partition=9)
    yield fetch("epoch of the future", 12, epoch=99)
    yield fetch("unknown session", 12, SessionId=77, SessionEpoch=3)
    yield fetch("unknown session, epoch 0", 12, SessionId=77, SessionEpoch=0)
    yield Case("Fetch: nothing", "Fetch", 12, {"MaxWaitMs": 0, "MinBytes": 1, "SessionEpoch": -1})

    def offsets(title, version, timestamp, topic="v7", partition=0, **fields):
        part = {"PartitionIndex": partition, "Timestamp": timestamp, **fields}
        request = {"ReplicaId": -1, "Topics": [{"Name": topic, "Partitions": [part]}]}
        if version >= 10:
            request["TimeoutMs"] = 5000
        return Case(f"ListOffsets: {title}", "ListOffsets", version, request)

    for version in range(1, 12):
        yield offsets(f"latest, version {version}", version, -1)
    for version in (1, 6, 7, 8, 9, 10, 11):
        for special in range(-7, 0):
            yield offsets(f"timestamp {special}, version {version}", version, special, topic="defaults")
    yield offsets("time 0", 11, 0)
    yield offsets("the far future", 11, 1 << 60)
    yield offsets("missing topic", 11, -1, topic="missing")
    yield offsets("missing partition", 11, -1, partition=9)
    yield offsets("epoch of the future", 11, -1, CurrentLeaderEpoch=99)
    twice = [{"PartitionIndex": 0, "Timestamp": -1}] * 2
    yield Case("ListOffsets: one twice", "ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": "v7", "Partitions": twice}]})
    for version in (2, 3, 4):
        for epoch in (0, 5, -1):
            part = {"Partition": 0, "LeaderEpoch": epoch}
            request = {"Topics": [{"Topic": "v7", "Partitions": [part]}]}
            request |= {"ReplicaId": -1} if version >= 3 else {}
            yield Case(f"OffsetForLeaderEpoch: {epoch}, version {version}", "OffsetForLeaderEpoch", version, request)
    request = {"ReplicaId": -1, "Topics": [{"Topic": "missing", "Partitions": [{"Partition": 0, "LeaderEpoch": 0}]}]}
    yield Case("OffsetForLeaderEpoch: missing topic", "OffsetForLeaderEpoch", 4, request)


def _records():
    def delete(title, offset, topic="v7", partition=0, version=2):
        rows = [{"Name": topic, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}]
        return Case(f"DeleteRecords: {title}", "DeleteRecords", version, {"Topics": rows, "TimeoutMs": 5000})

    for version in range(3):
        yield delete(f"version {version}", version, version=version)
    yield delete("below the start", 0)
    yield delete("beyond the end", 1 << 40)
    yield delete("negative", -2)
    yield delete("missing topic", 0, topic="missing")
    yield delete("missing partition", 0, partition=9)
    yield delete("all", -1)

    def producers(title, topic, *partitions):
        rows = [{"Name": topic, "PartitionIndexes": list(partitions)}]
        return Case(f"DescribeProducers: {title}", "DescribeProducers", 0, {"Topics": rows})

    yield producers("one", "v7", 0)
    yield producers("none", "defaults", 0, 1)
    yield producers("missing partition", "v7", 9)
    yield producers("missing topic", "missing", 0)
    yield producers("wrong name", "a b", 0)
    for version in range(6):
        yield Case(f"InitProducerId: version {version}", "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 1000})


def _configs():
    def alter(title, kind, name, *changes, version=1, **fields):
        rows = [{"Name": key, "ConfigOperation": op, "Value": value} for key, op, value in changes]
        row = {"ResourceType": kind, "ResourceName": name, "Configs": rows}
        return Case(f"IncrementalAlterConfigs: {title}", "IncrementalAlterConfigs", version, {"Resources": [row], **fields})

    def replace(title, kind, name, *values, version=2, **fields):
        rows = [{"Name": key, "Value": value} for key, value in values]
        row = {"ResourceType": kind, "ResourceName": name, "Configs": rows}
        return Case(f"AlterConfigs: {title}", "AlterConfigs", version, {"Resources": [row], **fields})

    def describe(title, kind, name, *keys, version=4, every=False):
        row = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": None if every else list(keys)}
        return Case(f"DescribeConfigs: {title}", "DescribeConfigs", version, {"Resources": [row], "IncludeSynonyms": True})

    for version in range(1, 5):
        yield describe(f"topic, version {version}", TOPIC, "v7", "retention.ms", "max.message.bytes", version=version)
    yield describe("whole topic", TOPIC, "v6", every=True)
    yield describe("missing topic", TOPIC, "missing", every=True)
    yield describe("wrong topic name", TOPIC, "a b", every=True)
    yield describe("empty topic name", TOPIC, "", every=True)
    yield describe("another broker", BROKER, "2", every=True)
    yield describe("not a broker", BROKER, "x", every=True)
    yield describe("this broker", BROKER, "1", every=True)
    yield describe("all brokers", BROKER, "", every=True)
    yield describe("no such type", 3, "x", every=True)
    yield describe("unknown config", TOPIC, "v7", "no.such.config")
    yield describe("a config twice", TOPIC, "v7", "retention.ms", "retention.ms")
    yield describe("client metrics", METRICS, "none", every=True)
    yield describe("empty client metrics name", METRICS, "", every=True)
    yield describe("group", GROUP, "none", every=True)
    yield describe("empty group name", GROUP, "", every=True)
    yield describe("logger of another broker", LOGGER, "2", every=True)
    yield describe("logger without name", LOGGER, "", every=True)

    yield alter("set", TOPIC, "v7", ("retention.ms", SET, "5"))
    yield describe("after set", TOPIC, "v7", "retention.ms")
    yield alter("set, version 0", TOPIC, "v7", ("retention.ms", SET, "6"), version=0)
    yield alter("only validated", TOPIC, "v7", ("retention.ms", SET, "7"), ValidateOnly=True)
    yield describe("after validated", TOPIC, "v7", "retention.ms")
    yield alter("delete", TOPIC, "v7", ("retention.ms", DELETE, None))
    yield alter("delete with value", TOPIC, "v7", ("retention.ms", DELETE, "5"))
    yield alter("delete unknown", TOPIC, "v7", ("no.such.config", DELETE, None))
    yield alter("set unknown", TOPIC, "v7", ("no.such.config", SET, "5"))
    yield alter("set null", TOPIC, "v7", ("retention.ms", SET, None))
    yield alter("set wrong", TOPIC, "v7", ("retention.ms", SET, "x"))
    yield alter("set too long", TOPIC, "v7", ("retention.ms", SET, "x" * 32768))
    yield alter("set too long a list", TOPIC, "v7", ("leader.replication.throttled.replicas", SET, ",".join(f"{i}:1" for i in range(9000))))
    yield alter("append to a number", TOPIC, "v7", ("retention.ms", APPEND, "5"))
    yield alter("append", TOPIC, "v7", ("leader.replication.throttled.replicas", APPEND, "0:1"))
    yield alter("append more", TOPIC, "v7", ("leader.replication.throttled.replicas", APPEND, "0:1,1:1"))
    yield describe("after append", TOPIC, "v7", "leader.replication.throttled.replicas")
    yield alter("subtract", TOPIC, "v7", ("leader.replication.throttled.replicas", SUBTRACT, "0:1,5:1"))
    yield describe("after subtract", TOPIC, "v7", "leader.replication.throttled.replicas")
    yield alter("subtract the last", TOPIC, "v7", ("cleanup.policy", SUBTRACT, "delete"))
    yield describe("after subtract of the last", TOPIC, "v7", "cleanup.policy")
    yield alter("back", TOPIC, "v7", ("cleanup.policy", DELETE, None), ("leader.replication.throttled.replicas", DELETE, None))
    yield alter("no such operation", TOPIC, "v7", ("retention.ms", 9, "5"))
    yield alter("a key twice", TOPIC, "v7", ("retention.ms", SET, "5"), ("retention.ms", DELETE, None))
    yield alter("nothing", TOPIC, "v7")
    yield alter("missing topic", TOPIC, "missing", ("retention.ms", SET, "5"))
    yield alter("wrong topic name", TOPIC, "a b", ("retention.ms", SET, "5"))
    yield alter("no such type", 3, "v7", ("retention.ms", SET, "5"))
    row = {"ResourceType": TOPIC, "ResourceName": "v7", "Configs": [{"Name": "retention.ms", "ConfigOperation": SET, "Value": "5"}]}
    yield Case("IncrementalAlterConfigs: a resource twice", "IncrementalAlterConfigs", 1, {"Resources": [row, row]})

    for version in range(3):
        yield replace(f"version {version}", TOPIC, "v6", ("retention.ms", "7"), version=version)
    yield replace("another", TOPIC, "v6", ("max.message.bytes", "7000"))
    yield describe("after replacing", TOPIC, "v6", "retention.ms", "max.message.bytes")
    yield replace("only validated", TOPIC, "v6", ("retention.ms", "8"), ValidateOnly=True)
    yield replace("null", TOPIC, "v6", ("retention.ms", None))
    yield replace("unknown", TOPIC, "v6", ("no.such.config", "5"))
    yield replace("wrong", TOPIC, "v6", ("retention.ms", "x"))
    yield replace("a key twice", TOPIC, "v6", ("retention.ms", "5"), ("retention.ms", "6"))
    yield replace("missing topic", TOPIC, "missing", ("retention.ms", "5"))
    yield replace("nothing", TOPIC, "v6")
    yield describe("after replacing by nothing", TOPIC, "v6", "retention.ms", "max.message.bytes")
    yield replace("no such type", 3, "v6", ("retention.ms", "5"))
    yield replace("a logger", LOGGER, "1", ("kafka", "INFO"))

    yield alter("broker, cluster-wide", BROKER, "", ("log.retention.ms", SET, "500000"))
    yield describe("broker after cluster-wide", BROKER, "1", "log.retention.ms", "log.retention.hours")
    yield describe("all brokers after cluster-wide", BROKER, "", every=True)
    yield describe("topic after cluster-wide", TOPIC, "v5", "retention.ms")
    yield alter("broker, this one", BROKER, "1", ("log.retention.ms", SET, "600000"))
    yield describe("broker after this one", BROKER, "1", "log.retention.ms", "log.retention.minutes", "log.retention.hours")
    yield describe("topic after this one", TOPIC, "v5", "retention.ms")
    yield replace("broker, this one by nothing", BROKER, "1")
    yield describe("broker after nothing", BROKER, "1", "log.retention.ms")
    yield alter("broker, back", BROKER, "", ("log.retention.ms", DELETE, None))
    yield describe("broker after back", BROKER, "1", "log.retention.ms")
    for key, value in [
        ("no.such.config", "5"),
        ("node.id", "7"),
        ("log.dirs", "/x"),
        ("num.partitions", "7"),
        ("auto.create.topics.enable", "false"),
        ("log.retention.ms", "x"),
        ("log.retention.ms", "0"),
        ("log.retention.hours", "-2"),
        ("log.segment.bytes", "5"),
        ("message.max.bytes", "-5"),
        ("min.insync.replicas", "0"),
        ("log.cleanup.policy", "x"),
        ("compression.type", "x"),
        ("num.io.threads", "16"),
        ("num.io.threads", "100"),
        ("num.io.threads", "1"),
        ("num.network.threads", "0"),
        ("background.threads", "100"),
        ("num.replica.fetchers", "2"),
        ("num.recovery.threads.per.data.dir", "4"),
        ("log.cleaner.threads", "2"),
        ("log.cleaner.threads", "9"),
        ("log.cleaner.dedupe.buffer.size", "1000"),
        ("log.cleaner.io.max.bytes.per.second", "1000000"),
        ("max.connections", "500"),
        ("max.connections", "-1"),
        ("max.connections.per.ip", "300"),
        ("max.connections.per.ip", "0"),
        ("max.connections.per.ip.overrides", "127.0.0.2:5"),
        ("max.connections.per.ip.overrides", "x"),
        ("max.connection.creation.rate", "1000"),
        ("producer.id.expiration.ms", "100000"),
        ("producer.id.expiration.ms", "0"),
        ("transaction.partition.verification.enable", "false"),
        ("unclean.leader.election.enable", "true"),
        ("leader.replication.throttled.rate", "1000"),
        ("follower.replication.throttled.rate", "1000"),
        ("replica.alter.log.dirs.io.max.bytes.per.second", "1000"),
        ("listeners", "PLAINTEXT://127.0.0.1:1"),
        ("ssl.keystore.location", "/x"),
        ("listener.name.plaintext.max.connections", "100"),
        ("listener.name.nobody.max.connections", "100"),
        ("log.flush.interval.ms", "1000"),
        ("log.message.timestamp.type", "LogAppendTime"),
        ("log.message.timestamp.after.max.ms", "5000"),
        ("remote.log.manager.fetch.max.wait.ms", "400"),
        ("group.consumer.assignment.interval.ms", "500"),
        ("metric.reporters", ""),
        ("log.dir.failure.timeout.ms", "5000"),
        ("cordoned.log.dirs", "/nowhere"),
        ("log.retention.minutes", "5"),
        ("log.roll.hours", "5"),
        ("log.roll.ms", "5000"),
        ("advertised.listeners", "PLAINTEXT://127.0.0.1:5"),
        ("connections.max.reauth.ms", "5"),
        ("num.network.threads", "100"),
        ("num.replica.fetchers", "9"),
        ("background.threads", "1"),
        ("log.cleaner.threads", "0"),
        ("max.connection.creation.rate", "0"),
        ("max.connections.per.ip.overrides", "127.0.0.1:5,127.0.0.2:6"),
        ("sasl.jaas.config", "x"),
        ("ssl.client.auth", "required"),
        ("ssl.protocol", "x"),
        ("listener.name.plaintext.ssl.keystore.location", "/x"),
        ("listener.name.plaintext.num.io.threads", "5"),
        ("listener.name.plaintext.max.connection.creation.rate", "500"),
    ]:
        for scope in ("1", ""):
            where = "this broker" if scope else "all brokers"
            yield alter(f"{key} = {value!r}, {where}", BROKER, scope, (key, SET, value))
            yield describe(f"{key} after {value!r}, {where}", BROKER, "1", key)
            yield alter(f"{key} back from {value!r}, {where}", BROKER, scope, (key, DELETE, None))
    yield alter("another broker", BROKER, "7", ("log.retention.ms", SET, "5"))
    yield alter("not a broker", BROKER, "x", ("log.retention.ms", SET, "5"))
    yield alter("append for brokers", BROKER, "", ("log.cleanup.policy", APPEND, "delete"))
    yield describe("all brokers after append", BROKER, "", every=True)
    yield alter("append back", BROKER, "", ("log.cleanup.policy", DELETE, None))

    yield alter("logger", LOGGER, "1", ("kafka.server", SET, "DEBUG"))
    yield describe("logger after set", LOGGER, "1", "kafka.server")
    yield alter("logger back", LOGGER, "1", ("kafka.server", DELETE, None))
    yield alter("logger, wrong level", LOGGER, "1", ("kafka.server", SET, "LOUD"))
    yield alter("logger, unknown", LOGGER, "1", ("no.such.logger", SET, "DEBUG"))
    yield alter("logger, unknown back", LOGGER, "1", ("no.such.logger", DELETE, None))
    yield alter("logger, append", LOGGER, "1", ("kafka.server", APPEND, "DEBUG"))
    yield alter("logger, null", LOGGER, "1", ("kafka.server", SET, None))
    yield alter("logger, root back", LOGGER, "1", ("root", DELETE, None))
    yield alter("logger, only validated", LOGGER, "1", ("kafka.server", SET, "TRACE"), ValidateOnly=True)
    yield describe("logger after validated", LOGGER, "1", "kafka.server")
    yield alter("logger of another broker", LOGGER, "2", ("kafka.server", SET, "DEBUG"))
    yield alter("logger without name", LOGGER, "", ("kafka.server", SET, "DEBUG"))

    yield alter("client metrics", METRICS, "sub", ("interval.ms", SET, "60000"))
    yield describe("client metrics after set", METRICS, "sub", every=True)
    yield alter("client metrics, wrong", METRICS, "sub", ("interval.ms", SET, "5"))
    yield alter("client metrics, unknown", METRICS, "sub", ("x", SET, "5"))
    yield alter("client metrics without name", METRICS, "", ("interval.ms", SET, "60000"))
    yield alter("group", GROUP, "g", ("consumer.session.timeout.ms", SET, "50000"))
    yield describe("group after set", GROUP, "g", every=True)
    yield alter("group, wrong", GROUP, "g", ("consumer.session.timeout.ms", SET, "1"))
    yield alter("group, unknown", GROUP, "g", ("x", SET, "5"))
    for key, value in [
        ("consumer.heartbeat.interval.ms", "1"),
        ("consumer.assignment.interval.ms", "20000"),
        ("errors.deadletterqueue.copy.record.enable", "x"),
        ("errors.deadletterqueue.topic.name", "dead"),
        ("share.auto.offset.reset", "x"),
        ("share.auto.offset.reset", "by_duration:PT1H"),
        ("share.auto.offset.reset", "by_duration:x"),
        ("share.delivery.count.limit", "1"),
        ("share.delivery.count.limit", "11"),
        ("share.isolation.level", "x"),
        ("share.partition.max.record.locks", "5000"),
        ("share.record.lock.duration.ms", "2000"),
        ("streams.assignor.name", "x"),
        ("streams.assignor.name", "sticky"),
        ("streams.num.standby.replicas", "3"),
        ("streams.num.warmup.replicas", "21"),
        ("streams.rack.aware.assignment.tags", "a,a"),
        ("streams.rack.aware.assignment.tags", "a,b"),
        ("streams.task.offset.interval.ms", "14999"),
    ]:
        yield alter(f"group, {key} = {value!r}", GROUP, "values", (key, SET, value))
    yield describe("group after values", GROUP, "values", every=True)
    yield replace("group, values back", GROUP, "values")
    for key, operation, value in [
        ("interval.ms", SET, "x"),
        ("interval.ms", SET, "3600001"),
        ("match", SET, "x"),
        ("match", SET, "client_id=a,client_software_name=b.*"),
        ("match", SET, "client_id=["),
        *(("match", SET, f"client_id={expression}") for expression in EXPRESSIONS),
        ("match", SET, "foo=bar"),
        ("match", SET, "client_id=a=b"),
        ("metrics", SET, "*"),
        ("metrics", SET, "org.apache.,x"),
        ("metrics", APPEND, "b"),
    ]:
        yield alter(f"client metrics, {key} {operation} {value!r}", METRICS, "values", (key, operation, value))
    yield describe("client metrics after values", METRICS, "values", every=True)
    yield replace("client metrics, values back", METRICS, "values")
    yield alter("group without name", GROUP, "", ("consumer.session.timeout.ms", SET, "50000"))
    yield replace("group", GROUP, "g2", ("share.session.timeout.ms", "50000"))
    yield Case("ListConfigResources: version 0", "ListConfigResources", 0, {})
    yield Case("ListConfigResources: all", "ListConfigResources", 1, {})
    for kind in (TOPIC, BROKER, LOGGER, METRICS, GROUP, 3, 0):
        yield Case(f"ListConfigResources: type {kind}", "ListConfigResources", 1, {"ResourceTypes": [kind]})
    for kind, name, key in [(METRICS, "sub", "interval.ms"), (GROUP, "g", "consumer.session.timeout.ms"), (GROUP, "g2", "share.session.timeout.ms")]:
        yield alter(f"{name} back", kind, name, (key, DELETE, None))
    yield Case("ListConfigResources: after that", "ListConfigResources", 1, {"ResourceTypes": [METRICS, GROUP]})


def _cluster():
    def elect(title, kind, partitions, version=2):
        rows = None if partitions is None else [{"Topic": t, "Partitions": p} for t, p in partitions]
        request = {"TopicPartitions": rows, "TimeoutMs": 10000}
        request |= {"ElectionType": kind} if version else {}
        return Case(f"ElectLeaders: {title}", "ElectLeaders", version, request)

    for version in range(3):
        yield elect(f"preferred, version {version}", 0, [("v7", [0])], version)
    yield elect("unclean", 1, [("v7", [0])])
    yield elect("all preferred", 0, None)
    yield elect("all unclean", 1, None)
    yield elect("missing", 0, [("missing", [0]), ("v7", [0, 9])])
    yield elect("no such type", 5, [("v7", [0])])
    yield elect("none", 0, [])

    def reassign(title, topic, partitions, version=1, **fields):
        rows = [{"PartitionIndex": p, "Replicas": r} for p, r in partitions]
        request = {"Topics": [{"Name": topic, "Partitions": rows}], "TimeoutMs": 10000, **fields}
        return Case(f"AlterPartitionReassignments: {title}", "AlterPartitionReassignments", version, request)

    for version in range(2):
        yield reassign(f"to where it is, version {version}", "v7", [(0, [1])], version)
    yield reassign("cancelled", "v7", [(0, None)])
    yield reassign("to nobody", "v7", [(0, [])])
    yield reassign("to 9", "v7", [(0, [9])])
    yield reassign("to 1 and 2", "v7", [(0, [1, 2])])
    yield reassign("twice to 1", "v7", [(0, [1, 1])])
    yield reassign("to -1", "v7", [(0, [-1])])
    yield reassign("missing partition", "v7", [(9, [1])])
    yield reassign("missing topic", "missing", [(0, [1])])
    yield reassign("factor fixed", "v7", [(0, [1, 2])], AllowReplicationFactorChange=False)
    yield Case("AlterPartitionReassignments: none", "AlterPartitionReassignments", 1, {"Topics": [], "TimeoutMs": 10000})
    for title, topics in [
        ("all", None),
        ("one", [{"Name": "v7", "PartitionIndexes": [0]}]),
        ("missing", [{"Name": "missing", "PartitionIndexes": [0]}]),
        ("none", []),
    ]:
        request = {"Topics": topics, "TimeoutMs": 10000}
        yield Case(f"ListPartitionReassignments: {title}", "ListPartitionReassignments", 0, request)

    def quorum(title, topic, partition, version=2):
        rows = [{"TopicName": topic, "Partitions": [{"PartitionIndex": partition}]}]
        return Case(f"DescribeQuorum: {title}", "DescribeQuorum", version, {"Topics": rows})

    for version in range(3):
        yield quorum(f"version {version}", "__cluster_metadata", 0, version)
    yield quorum("another topic", "v7", 0)
    yield quorum("another partition", "__cluster_metadata", 1)
    yield Case("DescribeQuorum: nothing", "DescribeQuorum", 2, {"Topics": []})

    def features(title, *updates, version=2, **fields):
        kind = "UpgradeType" if version else "AllowDowngrade"
        rows = [{"Feature": f, "MaxVersionLevel": level, kind: how} for f, level, how in updates]
        return Case(f"UpdateFeatures: {title}", "UpdateFeatures", version, {"FeatureUpdates": rows, "timeoutMs": 10000, **fields})

    yield features("to where it is", ("metadata.version", 33, 1))
    yield features("to where it is, version 0", ("metadata.version", 33, False), version=0)
    yield features("to where it is, version 1", ("metadata.version", 33, 1), version=1)
    yield features("too high", ("metadata.version", 99, 1))
    yield features("too high, version 1", ("metadata.version", 99, 1), version=1)
    yield features("down as an upgrade", ("metadata.version", 32, 1))
    yield features("down, validated", ("metadata.version", 32, 2), ValidateOnly=True)
    yield features("removed", ("metadata.version", 0, 2))
    yield features("too low", ("metadata.version", 3, 3))
    yield features("negative", ("metadata.version", -1, 3))
    yield features("unknown", ("no.such.feature", 1, 1))
    yield features("without name", ("", 1, 1))
    yield features("no such way", ("metadata.version", 33, 9))
    yield features("one twice", ("metadata.version", 33, 1), ("metadata.version", 32, 2))
    yield features("none")

    def directories(title, version, topics):
        return Case(f"DescribeLogDirs: {title}", "DescribeLogDirs", version, {"Topics": topics})

    for version in range(1, 6):
        yield directories(f"version {version}", version, [{"Topic": "v2", "Partitions": [0]}])
    yield directories("missing", 5, [{"Topic": "missing", "Partitions": [0]}])
    yield directories("none", 5, [])

    def move(title, version, path, topic="v7", partition=0):
        rows = [{"Path": path, "Topics": [{"Name": topic, "Partitions": [partition]}]}]
        return Case(f"AlterReplicaLogDirs: {title}", "AlterReplicaLogDirs", version, {"Dirs": rows})

    for version in (1, 2):
        yield move(f"to where it is, version {version}", version, "the log directory")
    yield move("to nowhere", 2, "/no/such/directory")
    yield move("to a relative path", 2, "relative")
    yield move("missing topic", 2, "the log directory", topic="missing")
    yield move("missing partition", 2, "the log directory", partition=9)
    yield Case("UnregisterBroker: unknown", "UnregisterBroker", 0, {"BrokerId": 77})
    yield Case("UnregisterBroker: negative", "UnregisterBroker", 0, {"BrokerId": -1})


def _deletions():
    def delete(title, version, *topics, **fields):
        named = {"TopicNames": list(topics)}
        if version >= 6:
            named = {"Topics": [{"Name": name, "TopicId": id_} for name, id_ in topics]}
        return Case(f"DeleteTopics: {title}", "DeleteTopics", version, {"TimeoutMs": 10000} | named)

    zero = wire.NO_UUID
    for version in range(1, 6):
        yield delete(f"version {version}", version, f"v{version + 1}")
    yield delete("by name", 6, ("v2", zero))
    yield delete("by id", 6, (None, "id of v7"))
    yield delete("by id, gone", 6, (None, "id of v7"))
    yield delete("missing", 6, ("missing", zero))
    yield delete("missing, version 1", 1, "missing")
    yield delete("unknown id", 6, (None, "11111111-2222-3333-4444-555555555555"))
    yield delete("name and id", 6, ("defaults", "11111111-2222-3333-4444-555555555555"))
    yield delete("neither", 6, (None, zero))
    yield delete("one twice", 6, ("defaults", zero), ("defaults", zero))
    yield delete("name and its id", 6, ("defaults", zero), (None, "id of defaults"))
    yield delete("wrong name", 6, ("a b", zero))
    yield delete("nothing", 6)
    produce = {"Acks": -1, "TimeoutMs": 5000}
    data = [{"Index": 0, "Records": batches.batch([b"a"])}]
    by_name, by_id = {"Name": "v7", "PartitionData": data}, {"TopicId": "id of v7", "PartitionData": data}
    yield Case("Produce: to a deleted topic", "Produce", 12, produce | {"TopicData": [by_name]})
    yield Case("Produce: to a deleted topic by id", "Produce", 13, produce | {"TopicData": [by_id]})
    fetch = {"MaxWaitMs": 0, "MinBytes": 1, "SessionEpoch": -1}
    part = [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}]
    yield Case("Fetch: from a deleted topic", "Fetch", 12, fetch | {"Topics": [{"Topic": "v7", "Partitions": part}]})
    yield Case("Fetch: from a deleted topic by id", "Fetch", 13, fetch | {"Topics": [{"TopicId": "id of v7", "Partitions": part}]})


def _protocol():
    """Bodies that are bytes: what no library would send."""
    for key in (4, 5, 6, 7, 95, -1, 32767):
        yield Case(f"raw: key {key}", "raw", 0, (key, 0, False, b""))
    yield Case("raw: ListOffsets 0", "raw", 0, (2, 0, False, struct.pack(">ii", -1, 0)))
    yield Case("raw: Produce 2", "raw", 0, (0, 2, False, struct.pack(">hii", -1, 100, 0)))
    yield Case("raw: Fetch 3", "raw", 0, (1, 3, False, struct.pack(">iiiii", -1, 0, 0, 0, 0)))
    yield Case("raw: Metadata 14", "raw", 0, (3, 14, True, b"\0\0\0\0\0"))
    yield Case("raw: ApiVersions 99", "raw", 0, (18, 99, True, b"\xff" * 9))
    yield Case("raw: Metadata with a count of 2^31-1", "raw", 0, (3, 1, False, struct.pack(">i", 2**31 - 1)))
    yield Case("raw: Metadata with a count of -2", "raw", 0, (3, 1, False, struct.pack(">i", -2)))
    yield Case("raw: Metadata cut", "raw", 0, (3, 1, False, b"\0\0"))
    for name, version in [("-", "1"), ("a", ""), ("a b", "1"), ("ok", "1.0")]:
        request = {"ClientSoftwareName": name, "ClientSoftwareVersion": version}
        yield Case(f"ApiVersions: software {name!r} {version!r}", "ApiVersions", 4, request)


def cases():
    """All of them, in order."""
    parts = (_creations, _partitions, _metadata, _produce, _fetch, _records, _configs, _cluster)
    others = (parity_edges, parity_groups, parity_flows, parity_versions)
    for part in (*parts, _deletions, _protocol, *(other.cases for other in others)):
        yield from part()
