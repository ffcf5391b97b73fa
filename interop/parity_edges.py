"""More requests, mostly wrong or odd ones: `parity_cases.py` sends them behind its own."""

import struct

import batches
import wire
from parity_case import Case, Kept

ZERO, UNKNOWN = wire.NO_UUID, "11111111-2222-3333-4444-555555555555"
TOPIC, BROKER, LOGGER = 2, 4, 8
SET, DELETE, APPEND, SUBTRACT = range(4)


def _create(title, *topics, **fields):
    rows = [{"NumPartitions": 1, "ReplicationFactor": 1, **topic} for topic in topics]
    request = {"Topics": rows, "timeoutMs": 10000, **fields}
    return Case(f"CreateTopics: {title}", "CreateTopics", 7, request, in_order=True)


def _configs(**values):
    return {"Configs": [{"Name": name.replace("_", "."), "Value": value} for name, value in values.items()]}


def _topics():
    yield _create("for the edges", {"Name": "ea"}, {"Name": "eb", "NumPartitions": 4})
    yield _create("compacted for the edges", {"Name": "ec", **_configs(cleanup_policy="compact")})
    yield _create("of all codecs", *({"Name": f"e-{codec}", **_configs(compression_type=codec)} for codec in ("gzip", "snappy", "lz4", "zstd", "uncompressed")))
    yield _create("right and wrong ones", {"Name": "ok"}, {"Name": "a b"}, {"Name": "ea"}, {"Name": "ok2"})
    yield _create("no time", {"Name": "no-time"}, timeoutMs=0)
    yield _create("negative time", {"Name": "negative-time"}, timeoutMs=-1)
    yield _create("validated with configs", {"Name": "val", **_configs(retention_ms="77", cleanup_policy="compact,delete")}, validateOnly=True)
    yield _create("cleanup.policy of three", {"Name": "policies", **_configs(cleanup_policy="compact,delete,compact")})
    yield _create("spaces in values", {"Name": "spaces", **_configs(retention_ms=" 5 ", cleanup_policy=" compact , delete ")})
    for name, value in [
        ("segment.ms", "0"),
        ("segment.index.bytes", "3"),
        ("segment.jitter.ms", "-1"),
        ("retention.bytes", "-2"),
        ("file.delete.delay.ms", "-1"),
        ("delete.retention.ms", "-1"),
        ("max.compaction.lag.ms", "0"),
        ("index.interval.bytes", "-1"),
        ("local.retention.ms", "-3"),
        ("remote.storage.enable", "true"),
        ("follower.replication.throttled.replicas", "*"),
        ("message.timestamp.before.max.ms", "-1"),
        ("message.timestamp.difference.max.ms", "5"),
        ("message.format.version", "3.0"),
        ("max.message.bytes", "2147483648"),
        ("min.insync.replicas", "1.5"),
        ("unclean.leader.election.enable", " TRUE "),
        ("compression.type", "GZIP"),
        ("cleanup.policy", "DELETE"),
        ("remote.log.copy.disable", "true"),
        ("preallocate", "yes"),
        ("min.cleanable.dirty.ratio", "-0.1"),
        ("min.cleanable.dirty.ratio", "1e-1"),
        ("flush.messages", "0"),
        ("", "1"),
    ]:
        topic = {"Name": "only-validated", "Configs": [{"Name": name, "Value": value}]}
        yield _create(f"{name} = {value!r}, validated", topic, validateOnly=True)

    def more(title, *rows, **fields):
        request = {"Topics": list(rows), "TimeoutMs": 10000, **fields}
        return Case(f"CreatePartitions: {title}", "CreatePartitions", 3, request, in_order=True)

    def topic(name, count, *assignments):
        return {"Name": name, "Count": count, "Assignments": [{"BrokerIds": ids} for ids in assignments] or None}

    yield more("right and wrong ones", topic("eb", 5), topic("missing", 5), topic("ea", 1))
    yield more("none")
    yield more("wrong name", topic("a b", 5), topic("", 5))
    yield more("assigned fewer than added", topic("eb", 8, [1]))
    yield more("assigned more than added", topic("eb", 6, [1], [1]))
    yield more("assigned to 9", topic("eb", 6, [9]))
    yield more("assigned to no broker", topic("eb", 6, []))
    yield more("assigned twice to 1", topic("eb", 6, [1, 1]))
    yield more("assigned to another number", topic("eb", 7, [1], [1, 2]))
    yield more("assigned to -1", topic("eb", 6, [-1]))
    yield more("wrong and validated", topic("eb", 1), ValidateOnly=True)
    yield more("no time", topic("ok2", 2), TimeoutMs=0)
    yield more("the greatest number", topic("eb", (1 << 31) - 1))


def _metadata():
    def ask(title, version, topics, **fields):
        return Case(f"Metadata: {title}", "Metadata", version, {"Topics": topics, **fields}, in_order=True)

    yield ask("order of what is asked", 12, [{"Name": name} for name in ("eb", "ok", "ea", "missing")], AllowAutoTopicCreation=False)
    yield ask("an id", 12, [{"TopicId": "id of ea", "Name": None}])
    yield ask("an id and a name", 12, [{"TopicId": "id of ea", "Name": "ea"}])
    yield ask("an id and another name", 12, [{"TopicId": "id of ea", "Name": "eb"}])
    yield ask("an id twice", 12, [{"TopicId": "id of ea", "Name": None}] * 2)
    yield ask("an unknown id and a known", 12, [{"TopicId": UNKNOWN, "Name": None}, {"TopicId": "id of ea", "Name": None}])
    yield ask("an id and elsewhere a name", 12, [{"TopicId": "id of ea", "Name": None}, {"Name": "eb"}])
    for name in ("a b", "", "..", "x" * 250, "co.ol", "co_ol"):
        yield ask(f"created by asking for {name[:5]!r} of {len(name)}", 9, [{"Name": name}], AllowAutoTopicCreation=True)
    yield ask("created by an old client's asking", 3, [{"Name": "auto3"}])
    yield ask("several created by asking", 12, [{"Name": "auto5"}, {"Name": "ea"}, {"Name": "auto4"}], AllowAutoTopicCreation=True)
    yield ask("operations, version 12", 12, [{"Name": "ea"}], IncludeTopicAuthorizedOperations=True)
    yield ask("operations of a missing topic", 12, [{"Name": "missing"}], IncludeTopicAuthorizedOperations=True, AllowAutoTopicCreation=False)

    def describe(title, names, limit=2000, cursor=None):
        request = {"Topics": [{"Name": name} for name in names], "ResponsePartitionLimit": limit}
        request |= {"Cursor": {"TopicName": cursor[0], "PartitionIndex": cursor[1]}} if cursor else {}
        return Case(f"DescribeTopicPartitions: {title}", "DescribeTopicPartitions", 0, request, in_order=True)

    yield describe("order of what is asked", ["ok", "eb", "missing", "ea", "a b"])
    yield describe("one twice", ["ea", "ea"])
    yield describe("empty name", ["", "ea"])
    for limit in (-1, 0, 1, 4, 5, 6, 2001):
        yield describe(f"limit {limit}", ["ea", "eb", "ec"], limit)
    yield describe("limit 5 with a missing topic", ["ea", "eb", "missing"], 5)
    yield describe("limit 1 of a missing topic", ["missing", "missing2"], 1)
    yield describe("cursor behind the partitions", ["eb"], cursor=("eb", 9))
    yield describe("cursor behind the topics", ["eb"], cursor=("zz", 0))
    yield describe("cursor before the topics", ["eb"], cursor=("a", 0))
    yield describe("cursor between topics", ["ea", "ec"], cursor=("eb", 2))
    yield describe("cursor in a missing topic", ["ea", "ec", "eb1"], cursor=("eb1", 2))
    yield describe("cursor in a topic not asked for", ["ea"], cursor=("eb", 2))
    yield describe("cursor and limit", ["ea", "eb", "ec"], 2, ("eb", 2))
    yield describe("cursor with a wrong name", ["ea"], cursor=("a b", 0))


def _produce():
    def send(title, version, *rows, acks=-1, transaction=None, timeout=5000, **options):
        """`rows` are (topic, partition, data)."""
        topics = {}
        for topic, index, data in rows:
            topics.setdefault(topic, []).append({"Index": index, "Records": data})
        key, said = ("TopicId", "id of {}") if version >= 13 else ("Name", "{}")
        data = [{key: said.format(topic), "PartitionData": parts} for topic, parts in topics.items()]
        request = {"Acks": acks, "TimeoutMs": timeout, "TopicData": data, "TransactionalId": transaction}
        return Case(f"Produce: {title}", "Produce", version, request, **options)

    one = batches.batch([b"a"])
    yield send("no topics", 12)
    yield Case("Produce: no partitions", "Produce", 12, {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": "ea", "PartitionData": []}]})
    yield send("no time", 12, ("eb", 3, one), timeout=0)
    yield send("negative time", 12, ("eb", 3, one), timeout=-1)
    yield send("one partition twice", 12, ("ok", 0, one), ("ok", 0, one))
    yield send("some right, some wrong", 12, ("eb", 0, one), ("eb", 9, one), ("missing", 0, one), ("eb", 1, batches.batch([b"a"], crc=1)))
    yield send("empty topic name", 12, ("", 0, one))
    yield send("wrong topic name", 12, ("a b", 0, one))
    yield Case("Produce: zero id", "Produce", 13, {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"TopicId": ZERO, "PartitionData": [{"Index": 0, "Records": one}]}]})
    yield send("a transactional id without a transaction", 12, ("ok2", 0, one), transaction="t")
    yield send("producer without an epoch", 12, ("eb", 3, batches.batch([b"a"], producer=(5, -1, -1))))
    yield send("producer id of -2", 12, ("eb", 3, batches.batch([b"a"], producer=(-2, 0, 0))))
    yield send("negative last offset", 12, ("eb", 3, batches.batch([b"a"], last_delta=-1)))
    yield send("last offset too low", 12, ("eb", 3, batches.batch([b"a", b"b"], last_delta=0)))
    yield send("negative count", 12, ("eb", 3, batches.batch([b"a"], count=-1)))
    yield send("count too low", 12, ("eb", 3, batches.batch([b"a", b"b"], count=1, last_delta=0)))
    yield send("unknown attribute bits", 12, ("eb", 3, batches.batch([b"a"], attributes=0x4000)))
    yield send("delete horizon bit", 12, ("eb", 3, batches.batch([b"a"], attributes=0x40)))
    yield send("negative timestamp", 12, ("eb", 3, batches.batch([b"a"], timestamp=-5)))
    yield send("wrong magic in version 3", 3, ("eb", 3, batches.batch([b"a"], magic=1)))
    yield send("cut batch in version 3", 3, ("eb", 3, one[:-1]))
    yield send("wrong CRC in version 7", 7, ("eb", 3, batches.batch([b"a"], crc=1)))
    yield send("too large in version 3", 3, ("eb", 3, batches.batch([b"x" * 1100000])))
    for acks in (5, -5):
        yield send(f"acks {acks}, version 3", 3, ("ea", 0, one), acks=acks)
    wrong = batches.batch([b"a"], crc=1)
    for index, (name, topic, data) in enumerate([("right", "eb", one), ("missing", "missing", one), ("with a wrong CRC", "eb", wrong), ("transactional", "eb", batches.batch([b"a"], attributes=0x10, producer=(5, 0, 0)))]):
        for version in (3, 12):
            connection = f"unanswered {index} {version}"
            yield send(f"unanswered, {name}, version {version}", version, (topic, 2, data), acks=0, connection=connection, waits=False)
            request = {"Topics": [], "AllowAutoTopicCreation": False}
            yield Case(f"Metadata: behind unanswered, {name}, version {version}", "Metadata", 9, request, connection)
    yield send("the first time", 12, ("ea", 0, batches.batch([b"a", b"b"], timestamp=1000)))
    yield send("the second time", 12, ("ea", 0, batches.batch([b"c"], timestamp=3000)))
    yield send("the third time", 12, ("ea", 0, batches.batch([b"d"], timestamp=2000)))
    for codec in ("gzip", "snappy", "lz4", "zstd", "uncompressed"):
        yield send(f"to a topic of {codec}", 12, (f"e-{codec}", 0, batches.compressed([b"a" * 50] * 3, "gzip")))
        yield send(f"not compressed to a topic of {codec}", 12, (f"e-{codec}", 0, batches.batch([b"a" * 50] * 3)))
        yield send(f"wrong to a topic of {codec}", 12, (f"e-{codec}", 0, batches.batch([b"a"], attributes=1)))
        part = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}
        request = {"MaxWaitMs": 0, "MinBytes": 1, "SessionEpoch": -1, "Topics": [{"Topic": f"e-{codec}", "Partitions": [part]}]}
        yield Case(f"Fetch: from a topic of {codec}", "Fetch", 12, request)
    yield send("by id to a compacted topic and another", 13, ("ec", 0, one), ("ea", 0, batches.batch([b"e"], timestamp=2500)))
    sequence = [(7, 0, 0), (7, 0, 1), (7, 0, 2), (7, 0, 3), (7, 0, 4), (7, 0, 5), (7, 0, 0), (7, 0, 1), (7, 2, 0), (7, 1, 0), (7, 2, 1)]
    for index, producer in enumerate(sequence):
        yield send(f"idempotent {index}, {producer[1:]}", 12, ("eb", 1, batches.batch([b"s"], producer=producer)))
    yield send("idempotent, the greatest sequence", 12, ("eb", 2, batches.batch([b"a"], producer=(8, 0, (1 << 31) - 1))))
    yield send("idempotent, past the greatest", 12, ("eb", 2, batches.batch([b"a"], producer=(8, 0, 0))))
    yield send("idempotent, over the greatest", 12, ("eb", 3, batches.batch([b"a", b"b"], producer=(9, 0, (1 << 31) - 1))))
    yield send("idempotent, behind it", 12, ("eb", 3, batches.batch([b"a"], producer=(9, 0, 1))))
    yield send("same offset again but larger", 12, ("eb", 1, batches.batch([b"s", b"t"], producer=(7, 2, 1))))

    rows = [{"Name": "eb", "PartitionIndexes": [1, 2, 1]}, {"Name": "ea", "PartitionIndexes": [0, -1]}]
    yield Case("DescribeProducers: several", "DescribeProducers", 0, {"Topics": rows}, in_order=True)
    yield Case("DescribeProducers: no topics", "DescribeProducers", 0, {"Topics": []})
    for title, fields in [
        ("empty id", {"TransactionalId": ""}),
        ("with an id", {"ProducerId": 7, "ProducerEpoch": 0}),
        ("an id without an epoch", {"ProducerId": 7}),
        ("an epoch without an id", {"ProducerEpoch": 7}),
        ("very negative", {"ProducerId": -2, "ProducerEpoch": -2}),
        ("no time", {"TransactionTimeoutMs": 0}),
    ]:
        request = {"TransactionalId": None, "TransactionTimeoutMs": 1000, **fields}
        yield Case(f"InitProducerId: {title}", "InitProducerId", 4, request)


def _offsets():
    def offsets(title, version, *rows, **fields):
        """`rows` are (topic, partition, timestamp)."""
        topics = [{"Name": t, "Partitions": [{"PartitionIndex": p, "Timestamp": at}]} for t, p, at in rows]
        request = {"ReplicaId": -1, "Topics": topics, **fields}
        return Case(f"ListOffsets: {title}", "ListOffsets", version, request, in_order=True)

    for at in (0, 999, 1000, 1001, 2000, 2001, 3000, 3001):
        yield offsets(f"time {at} of some", 9, ("ea", 0, at))
    for at in range(-6, 0):
        for version in (1, 7, 8, 9, 11):
            yield offsets(f"special {at} of some, version {version}", version, ("ea", 0, at))
    yield offsets("read committed", 9, ("ea", 0, -1), ("ea", 0, -3), IsolationLevel=1)
    yield offsets("unknown isolation", 9, ("ea", 0, -1), IsolationLevel=7)
    yield offsets("several", 9, ("eb", 3, -1), ("missing", 0, -1), ("ea", 0, -2), ("a b", 0, -1), ("", 0, -1))
    yield offsets("negative partition", 9, ("ea", -1, -1))
    yield offsets("none", 9)
    for replica in (-2, 1, 5):
        yield offsets(f"as replica {replica}", 9, ("ea", 0, -1), ReplicaId=replica)
        yield offsets(f"as replica {replica}, by time", 9, ("ea", 0, 5000), ReplicaId=replica)
    yield offsets("as a follower, version 1", 1, ("ea", 0, 1500), ReplicaId=1)

    def epochs(title, *rows, version=4, replica=-1):
        """`rows` are (topic, partition, current epoch, epoch)."""
        topics = {}
        for topic, partition, current, epoch in rows:
            row = {"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}
            topics.setdefault(topic, []).append(row)
        request = {"Topics": [{"Topic": topic, "Partitions": parts} for topic, parts in topics.items()]}
        request |= {"ReplicaId": replica} if version >= 3 else {}
        return Case(f"OffsetForLeaderEpoch: {title}", "OffsetForLeaderEpoch", version, request)

    yield epochs("several", ("ea", 0, -1, 0), ("eb", 9, -1, 0), ("eb", 3, -1, 0))
    yield epochs("current epoch of the future", ("ea", 0, 5, 0))
    yield epochs("current epoch", ("ea", 0, 0, 0))
    yield epochs("very negative epoch", ("ea", 0, -1, -2))
    yield epochs("wrong name", ("a b", 0, -1, 0))
    yield epochs("as replica 1", ("ea", 0, -1, 0), replica=1)
    yield epochs("as replica -2", ("ea", 0, -1, 0), replica=-2)
    yield epochs("none")
    yield epochs("one twice", ("ea", 0, -1, 0), ("ea", 0, -1, 1))


def _fetch():
    def part(index=0, offset=0, size=1 << 20, **fields):
        return {"Partition": index, "FetchOffset": offset, "PartitionMaxBytes": size, **fields}

    def fetch(title, version, *rows, id_=0, epoch=-1, keeps=None, forgotten=(), prompt=False, **fields):
        """`rows` are (topic, partition)."""
        key, said = ("TopicId", "id of {}") if version >= 13 else ("Topic", "{}")
        request = {"MaxWaitMs": 0, "MinBytes": 1, "MaxBytes": 1 << 20, "SessionId": id_, "SessionEpoch": epoch}
        request["Topics"] = [{key: said.format(topic), "Partitions": [row]} for topic, row in rows]
        request["ForgottenTopicsData"] = [{key: said.format(t), "Partitions": [p]} for t, p in forgotten]
        return Case(f"Fetch: {title}", "Fetch", version, request | fields, keeps=keeps or {}, in_order="out of range" not in title, prompt=prompt)

    for title, rows in [
        ("several", [("eb", part(3)), ("ea", part()), ("eb", part(1)), ("ea", part(0, 2))]),
        ("one twice", [("ea", part()), ("ea", part(0, 2))]),
        ("no bytes of a partition", [("ea", part(size=0))]),
        ("few bytes of a partition", [("ea", part(size=1))]),
        ("negative bytes of a partition", [("ea", part(size=-1))]),
        ("at the end", [("ea", part(offset=5))]),
        ("behind the end", [("ea", part(offset=6))]),
        ("last fetched epoch", [("ea", part(LastFetchedEpoch=0))]),
        ("last fetched epoch of the future", [("ea", part(LastFetchedEpoch=5))]),
        ("last fetched epoch, negative", [("ea", part(LastFetchedEpoch=-5))]),
        ("as an old leader", [("ea", part(CurrentLeaderEpoch=0))]),
        ("inside a batch", [("ea", part(offset=1))]),
        ("right and wrong ones", [("ea", part()), ("missing", part()), ("eb", part(9)), ("eb", part(-1)), ("a b", part()), ("", part())]),
    ]:
        yield fetch(title, 12, *rows)
        if "wrong" in title or title == "several":
            yield fetch(f"{title}, by id", 13, *rows)
    yield fetch("zero id", 13, Topics=[{"TopicId": ZERO, "Partitions": [part()]}])
    yield fetch("no bytes", 12, ("ea", part()), ("eb", part(3)), MaxBytes=0)
    yield fetch("negative bytes", 12, ("ea", part()), MaxBytes=-1)
    yield fetch("few bytes", 12, ("ea", part()), ("eb", part(3)), MaxBytes=1)
    yield fetch("few bytes, version 4", 4, ("ea", part()), ("eb", part(3)), MaxBytes=1)
    yield fetch("negative time", 12, ("ea", part(offset=5)), MaxWaitMs=-1)
    yield fetch("negative least", 12, ("ea", part(offset=5)), MinBytes=-1, MaxWaitMs=4000, prompt=True)
    yield fetch("nothing at least", 12, ("ea", part(offset=5)), MinBytes=0, MaxWaitMs=4000, prompt=True)
    yield fetch("an error does not wait", 12, ("ea", part(offset=5)), ("missing", part()), MaxWaitMs=4000, prompt=True)
    yield fetch("unknown isolation", 12, ("ea", part()), IsolationLevel=7)
    yield fetch("of a rack", 12, ("ea", part()), RackId="rack1")
    for replica in (-2, 5):
        yield fetch(f"as replica {replica}", 12, ("ea", part()), ReplicaId=replica)
    yield fetch("as replica 5, version 15", 15, ("ea", part()), ReplicaState={"ReplicaId": 5, "ReplicaEpoch": 1})
    yield fetch("for another cluster", 12, ("ea", part()), ClusterId="other")

    for version in (7, 12, 13, 18):
        id_, name = Kept(f"session {version}"), f"session of version {version}"
        yield fetch(f"{name}, begun", version, ("ea", part()), ("eb", part(0)), epoch=0, keeps={id_.name: "SessionId"})
        yield fetch(f"{name}, same place", version, id_=id_, epoch=1)
        yield fetch(f"{name}, read", version, ("ea", part(0, 5)), id_=id_, epoch=2)
        yield fetch(f"{name}, nothing new", version, id_=id_, epoch=3)
        yield fetch(f"{name}, epoch again", version, id_=id_, epoch=3)
        yield fetch(f"{name}, epoch too high", version, id_=id_, epoch=9)
        yield fetch(f"{name}, one more", version, ("eb", part(3)), ("missing", part()), ("eb", part(9)), id_=id_, epoch=4)
        yield fetch(f"{name}, errors again", version, ("eb", part(3, 1)), id_=id_, epoch=5)
        yield fetch(f"{name}, forgotten", version, forgotten=[("eb", 9), ("missing", 0), ("eb", 8), ("eb", 0)], id_=id_, epoch=6)
        yield fetch(f"{name}, out of range", version, ("ea", part(0, 99)), id_=id_, epoch=7)
        yield fetch(f"{name}, forgotten and asked for", version, ("ea", part(0, 0)), forgotten=[("ea", 0)], id_=id_, epoch=8)
        yield fetch(f"{name}, all forgotten", version, forgotten=[("ea", 0), ("eb", 3)], id_=id_, epoch=9)
        yield fetch(f"{name}, after that", version, id_=id_, epoch=10)
        yield fetch(f"{name}, begun again", version, ("ea", part()), epoch=0, keeps={f"again {version}": "SessionId"})
        yield fetch(f"{name}, ended", version, ("ea", part()), id_=Kept(f"again {version}"), epoch=-1)
        yield fetch(f"{name}, after its end", version, id_=Kept(f"again {version}"), epoch=1)
        yield fetch(f"{name}, begun by an id", version, ("ea", part()), id_=Kept(f"again {version}"), epoch=0)
    yield fetch("session of nothing", 12, epoch=0)
    yield fetch("negative session", 12, ("ea", part()), id_=-5, epoch=0)
    yield fetch("session with epoch -2", 12, ("ea", part()), epoch=-2)
    yield fetch("session by name", 12, ("ea", part()), epoch=0, keeps={"named": "SessionId"})
    yield fetch("session by name, then by id", 13, id_=Kept("named"), epoch=1)
    yield fetch("session by name, version 6", 6, ("ea", part()), id_=Kept("named"), epoch=2)


def _records():
    def delete(title, *rows, **fields):
        """`rows` are (topic, partition, offset)."""
        topics = [{"Name": t, "Partitions": [{"PartitionIndex": p, "Offset": at}]} for t, p, at in rows]
        request = {"Topics": topics, "TimeoutMs": 5000, **fields}
        return Case(f"DeleteRecords: {title}", "DeleteRecords", 2, request)

    yield delete("compacted topic", ("ec", 0, 0))
    yield delete("to the end of a compacted topic", ("ec", 0, -1))
    yield delete("none")
    yield delete("several", ("eb", 3, 0), ("eb", 9, 0), ("missing", 0, 0), ("a b", 0, 0), ("", 0, 0))
    yield delete("one twice", ("ea", 0, 1), ("ea", 0, 2))
    yield delete("negative partition", ("ea", -1, 0))
    yield delete("no time", ("ea", 0, 3), TimeoutMs=0)
    yield delete("to the end itself", ("ea", 0, 5))
    yield delete("one beyond the end", ("ea", 0, 6))
    yield delete("of an empty partition", ("auto4", 1, -1))
    part = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}
    request = {"MaxWaitMs": 0, "MinBytes": 1, "SessionEpoch": -1, "Topics": [{"Topic": "ea", "Partitions": [part]}]}
    yield Case("Fetch: below the start", "Fetch", 12, request)
    for at in (-2, -4, -3, 0):
        rows = [{"Name": "ea", "Partitions": [{"PartitionIndex": 0, "Timestamp": at}]}]
        yield Case(f"ListOffsets: {at} where all is deleted", "ListOffsets", 9, {"ReplicaId": -1, "Topics": rows})


def _admin():
    def alter(title, kind, name, *changes, **fields):
        rows = [{"Name": key, "ConfigOperation": op, "Value": value} for key, op, value in changes]
        row = {"ResourceType": kind, "ResourceName": name, "Configs": rows}
        return Case(f"IncrementalAlterConfigs: {title}", "IncrementalAlterConfigs", 1, {"Resources": [row], **fields})

    def describe(title, *resources, version=4, synonyms=True, **fields):
        """`resources` are (type, name, keys)."""
        rows = [{"ResourceType": k, "ResourceName": n, "ConfigurationKeys": keys} for k, n, keys in resources]
        request = {"Resources": rows, "IncludeSynonyms": synonyms, **fields}
        return Case(f"DescribeConfigs: {title}", "DescribeConfigs", version, request)

    keys = ["retention.ms", "min.insync.replicas", "compression.type", "segment.bytes", "no.such"]
    yield describe("without synonyms", (TOPIC, "ea", keys), synonyms=False)
    for kind, name in ((TOPIC, "ea"), (BROKER, "1"), (16, "sub"), (32, "g"), (LOGGER, "1")):
        keys_of = ["kafka.server"] if kind == LOGGER else None
        for version in (3, 4):
            title = f"documentation of type {kind}, version {version}"
            yield describe(title, (kind, name, keys_of), version=version, synonyms=False, IncludeDocumentation=True)
    for key in ("ssl.keystore.password", "listener.name.plaintext.ssl.key.password"):
        for scope in ("1", ""):
            yield alter(f"{key} of {scope!r}", BROKER, scope, (key, SET, "secret"))
            yield describe(f"{key} of {scope!r} after that", (BROKER, scope, [key]))
            yield alter(f"{key} of {scope!r} back", BROKER, scope, (key, DELETE, None))
    yield describe("no keys", (TOPIC, "ea", []))
    yield describe("an empty key", (TOPIC, "ea", [""]))
    yield describe("nothing")
    yield describe("one twice", (TOPIC, "ea", ["retention.ms"]), (TOPIC, "ea", ["segment.ms"]))
    yield describe("several", (BROKER, "1", ["num.partitions"]), (TOPIC, "missing", None), (BROKER, "", None), (TOPIC, "ea", ["segment.ms"]))
    yield describe("negative broker", (BROKER, "-1", ["num.partitions"]))
    yield describe("broker with a zero before", (BROKER, "01", ["num.partitions"]))
    for kind in (-1, 0, 1, 64):
        yield describe(f"type {kind}", (kind, "x", None))
    yield describe("logger by key", (LOGGER, "1", ["no.such.logger"]))
    yield describe("a topic's everything, version 1", (TOPIC, "ea", None), version=1)

    lists = "leader.replication.throttled.replicas"
    for title, *changes in [
        ("append what is there", ("cleanup.policy", APPEND, "delete")),
        ("append another", ("cleanup.policy", APPEND, "compact")),
        ("append a wrong one", ("cleanup.policy", APPEND, "x")),
        ("subtract what is not there", ("cleanup.policy", SUBTRACT, "x")),
        ("subtract one", ("cleanup.policy", SUBTRACT, "delete")),
        ("subtract from a number", ("retention.ms", SUBTRACT, "5")),
        ("append to a word", ("compression.type", APPEND, "gzip")),
        ("append to a truth", ("preallocate", APPEND, "true")),
        ("append null", (lists, APPEND, None)),
        ("append nothing", (lists, APPEND, "")),
        ("append with spaces", (lists, APPEND, " 0:1 , 1:1 ")),
        ("subtract null", (lists, SUBTRACT, None)),
        ("append to the unknown", ("no.such.config", APPEND, "5")),
        ("delete what is not set", ("flush.ms", DELETE, None)),
        ("an empty key", ("", SET, "5")),
        ("right and wrong keys", ("retention.ms", SET, "9"), ("segment.bytes", SET, "x")),
        ("contradicting lags", ("min.compaction.lag.ms", SET, "9"), ("max.compaction.lag.ms", SET, "5")),
        ("remote storage", ("remote.storage.enable", SET, "true")),
        ("local retention above the whole", ("retention.ms", SET, "9"), ("local.retention.ms", SET, "99")),
        ("an empty number", ("retention.ms", SET, "")),
        ("a number with a fraction", ("retention.ms", SET, "5.0")),
        ("a number with a plus", ("retention.ms", SET, "+5")),
        ("a number with an underscore", ("retention.ms", SET, "5_000")),
        ("a number in hexadecimal", ("retention.ms", SET, "0x10")),
        ("a truth in capitals", ("preallocate", SET, "True")),
        ("a truth as a number", ("preallocate", SET, "1")),
        ("a ratio as a word", ("min.cleanable.dirty.ratio", SET, "NaN")),
        ("a ratio with a suffix", ("min.cleanable.dirty.ratio", SET, "0.5f")),
        ("a number in Arabic figures", ("retention.ms", SET, "\u0665")),
        ("message.timestamp.type", ("message.timestamp.type", SET, "LogAppendTime")),
        ("below brokers' needs", ("min.insync.replicas", SET, "5")),
    ]:
        yield alter(title, TOPIC, "ea", *changes)
    changed = ["cleanup.policy", lists, "retention.ms", "message.timestamp.type", "preallocate", "min.insync.replicas", "min.cleanable.dirty.ratio"]
    yield describe("after all this", (TOPIC, "ea", changed))
    produce = {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": "ea", "PartitionData": [{"Index": 0, "Records": batches.batch([b"a"])}]}]}
    yield Case("Produce: without enough replicas in sync", "Produce", 12, produce)
    yield Case("Produce: without enough replicas in sync, acks 1", "Produce", 12, produce | {"Acks": 1})
    rows = [
        {"ResourceType": kind, "ResourceName": name, "Configs": [{"Name": "retention.ms", "ConfigOperation": SET, "Value": "7000"}]}
        for kind, name in ((TOPIC, "eb"), (TOPIC, "missing"), (BROKER, "1"), (3, "x"), (TOPIC, ""))
    ]
    yield Case("IncrementalAlterConfigs: several", "IncrementalAlterConfigs", 1, {"Resources": rows})
    yield Case("IncrementalAlterConfigs: no resources", "IncrementalAlterConfigs", 1, {"Resources": []})
    yield Case("AlterConfigs: no resources", "AlterConfigs", 2, {"Resources": []})
    dynamic = [("log.retention.ms", SET, "700000"), ("log.cleanup.policy", SET, "compact"), ("max.connections", SET, "900")]
    yield alter("several of all brokers", BROKER, "", *dynamic)
    yield alter("one of this broker over it", BROKER, "1", ("log.retention.ms", SET, "800000"))
    synonyms = ["log.retention.ms", "log.retention.minutes", "log.retention.hours", "log.cleanup.policy", "max.connections"]
    yield describe("broker after several", (BROKER, "1", synonyms))
    yield describe("broker after several, no synonyms", (BROKER, "1", synonyms), synonyms=False)
    yield describe("topic after several", (TOPIC, "ok", ["retention.ms", "cleanup.policy"]), (TOPIC, "eb", ["retention.ms"]))
    yield describe("default broker after several", (BROKER, "", synonyms))
    yield alter("several of all brokers back", BROKER, "", *((key, DELETE, None) for key, _, _ in dynamic))
    yield alter("this broker's back", BROKER, "1", ("log.retention.ms", DELETE, None))
    for level in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF", "debug", ""):
        yield alter(f"level {level!r}", LOGGER, "1", ("org.apache.kafka", SET, level))
        yield describe(f"logger after {level!r}", (LOGGER, "1", ["org.apache.kafka"]))
    yield alter("level back", LOGGER, "1", ("org.apache.kafka", DELETE, None))
    yield describe("logger after level back", (LOGGER, "1", ["org.apache.kafka"]))
    yield alter("level of two", LOGGER, "1", ("kafka", SET, "WARN"), ("no.such", SET, "WARN"))
    yield alter("root's level", LOGGER, "1", ("root", SET, "INFO"))
    yield Case("ListConfigResources: one type twice", "ListConfigResources", 1, {"ResourceTypes": [BROKER, BROKER]})
    yield Case("ListConfigResources: negative type", "ListConfigResources", 1, {"ResourceTypes": [-1]})
    yield Case("ListConfigResources: a type and a wrong one", "ListConfigResources", 1, {"ResourceTypes": [BROKER, 3]})


def _cluster():
    def elect(title, rows, **fields):
        topics = [{"Topic": topic, "Partitions": partitions} for topic, partitions in rows]
        request = {"ElectionType": 0, "TopicPartitions": topics, "TimeoutMs": 10000, **fields}
        return Case(f"ElectLeaders: {title}", "ElectLeaders", 2, request)

    yield elect("one twice", [("ea", [0, 0])])
    yield elect("negative partition", [("ea", [-1])])
    yield elect("no partitions", [("ea", [])])
    yield elect("wrong name", [("a b", [0]), ("", [0])])
    yield elect("no time", [("ea", [0])], TimeoutMs=0)
    yield elect("negative type", [("ea", [0])], ElectionType=-1)
    rows = [{"Name": "ea", "Partitions": [{"PartitionIndex": p, "Replicas": r}]} for p, r in ((0, [1]), (0, [9]), (-1, [1]))]
    request = {"Topics": rows, "TimeoutMs": 10000}
    yield Case("AlterPartitionReassignments: one several times", "AlterPartitionReassignments", 1, request)
    rows = [{"Name": "a b", "Partitions": [{"PartitionIndex": 0, "Replicas": [1]}]}]
    yield Case("AlterPartitionReassignments: wrong name", "AlterPartitionReassignments", 1, {"Topics": rows, "TimeoutMs": 10000})
    rows = [{"Name": "ea", "PartitionIndexes": [9, -1, 0]}, {"Name": "a b", "PartitionIndexes": [0]}]
    yield Case("ListPartitionReassignments: wrong ones", "ListPartitionReassignments", 0, {"Topics": rows, "TimeoutMs": 10000})
    rows = [{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}, {"PartitionIndex": 0}]}]
    yield Case("DescribeQuorum: one twice", "DescribeQuorum", 2, {"Topics": rows})
    rows = [{"TopicName": "__cluster_metadata", "Partitions": []}]
    yield Case("DescribeQuorum: no partitions", "DescribeQuorum", 2, {"Topics": rows})
    rows = [{"Topic": "eb", "Partitions": [0, 9, 0]}, {"Topic": "a b", "Partitions": [0]}]
    yield Case("DescribeLogDirs: several", "DescribeLogDirs", 4, {"Topics": rows})
    yield Case("DescribeLogDirs: no partitions", "DescribeLogDirs", 4, {"Topics": [{"Topic": "eb", "Partitions": []}]})
    for way in (0, -1):
        rows = [{"Feature": "metadata.version", "MaxVersionLevel": 33, "UpgradeType": way}]
        yield Case(f"UpdateFeatures: way {way}", "UpdateFeatures", 2, {"FeatureUpdates": rows, "timeoutMs": 10000})
    rows = [{"Feature": f, "MaxVersionLevel": v, "UpgradeType": 1} for f, v in (("metadata.version", 33), ("no.such", 1))]
    yield Case("UpdateFeatures: right and wrong", "UpdateFeatures", 2, {"FeatureUpdates": rows, "timeoutMs": 10000})
    yield Case("UpdateFeatures: right and wrong, version 1", "UpdateFeatures", 1, {"FeatureUpdates": rows, "timeoutMs": 10000})
    for version in range(6):
        named = {"ClientSoftwareName": "n", "ClientSoftwareVersion": "1"} if version >= 3 else {}
        fields = ("ErrorCode", "ThrottleTimeMs", "ZkMigrationReady")
        yield Case(f"ApiVersions: version {version}", "ApiVersions", version, named, only=fields)
    for title, fields in [("another cluster", {"ClusterId": "other"}), ("another node", {"NodeId": 9}), ("this node", {"NodeId": 1})]:
        named = {"ClientSoftwareName": "n", "ClientSoftwareVersion": "1"}
        yield Case(f"ApiVersions: for {title}", "ApiVersions", 5, named | fields)


def _bytes():
    """Bodies in bytes: what is behind, what is null and should not be, and tags nobody knows."""
    name = b"\x03ea\0"
    yield Case("raw: bytes behind a body", "raw", 0, (3, 9, True, b"\x02" + name + b"\0\0\0\0" + b"behind"))
    yield Case("raw: an unknown tag", "raw", 0, (3, 9, True, b"\x02" + name + b"\0\0\0" + b"\x01\x63\x02xy"))
    yield Case("raw: an unknown tag in a row", "raw", 0, (3, 9, True, b"\x02\x03ea\x01\x63\x02xy" + b"\0\0\0\0"))
    yield Case("raw: one tag twice", "raw", 0, (3, 9, True, b"\x02" + name + b"\0\0\0" + b"\x02\x63\x01x\x63\x01y"))
    yield Case("raw: a name that is null", "raw", 0, (3, 9, True, b"\x02\0\0" + b"\0\0\0\0"))
    yield Case("raw: a name that is not UTF-8", "raw", 0, (3, 9, True, b"\x02\x03\xff\xfe\0" + b"\0\0\0\0"))
    yield Case("raw: topics that are null", "raw", 0, (20, 6, True, b"\0" + struct.pack(">i", 1000) + b"\0"))
    yield Case("raw: groups that are null", "raw", 0, (42, 2, True, b"\0\0"))
    yield Case("raw: a truth of 2", "raw", 0, (3, 9, True, b"\x02" + name + b"\x02\0\0\0"))
    yield Case("raw: a length that never ends", "raw", 0, (3, 9, True, b"\xff" * 11))
    yield Case("raw: an empty body", "raw", 0, (3, 9, True, b""))


def _removals():
    topics = [{"Name": name, "TopicId": ZERO} for name in ("ea", "missing", "eb")] + [{"Name": None, "TopicId": "id of ec"}]
    yield Case("DeleteTopics: right and wrong ones", "DeleteTopics", 6, {"Topics": topics, "TimeoutMs": 10000}, in_order=True)
    yield Case("DeleteTopics: no time", "DeleteTopics", 5, {"TopicNames": ["ok"], "TimeoutMs": 0})
    yield Case("DeleteTopics: negative time", "DeleteTopics", 5, {"TopicNames": ["ok2"], "TimeoutMs": -1})


def _again():
    """A topic that is deleted and made again is another one."""
    old = Kept("old id")

    def delete(title):
        topics = [{"Name": "again", "TopicId": ZERO}]
        return Case(f"DeleteTopics: {title}", "DeleteTopics", 6, {"Topics": topics, "TimeoutMs": 10000})

    def fetch(title, version, **fields):
        request = {"MaxWaitMs": 0, "MinBytes": 1, **fields}
        return Case(f"Fetch: {title}", "Fetch", version, request, keeps={f"kept {version}": "SessionId"})

    def begin(version):
        rows = [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}]
        topic = {"TopicId": old} if version >= 13 else {"Topic": "again"}
        return [topic | {"Partitions": rows}]

    made = _create("to be made again", {"Name": "again"})
    made.keeps["old id"] = "Topics.0.TopicId"
    yield made
    for version in (12, 13):
        yield fetch(f"session before the end of a topic, version {version}", version, SessionEpoch=0, Topics=begin(version))
    yield delete("to be made again")
    for version in (12, 13):
        yield fetch(f"session after the end of a topic, version {version}", version, SessionId=Kept(f"kept {version}"), SessionEpoch=1)
    yield _create("made again", {"Name": "again"})
    for version in (12, 13):
        yield fetch(f"session after a new beginning, version {version}", version, SessionId=Kept(f"kept {version}"), SessionEpoch=2)
        yield fetch(f"after a new beginning, version {version}", version, SessionEpoch=-1, Topics=begin(version))
    rows = [{"Index": 0, "Records": batches.batch([b"a"])}]
    request = {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"TopicId": old, "PartitionData": rows}]}
    yield Case("Produce: by the old id", "Produce", 13, request)
    yield Case("Metadata: by the old id", "Metadata", 12, {"Topics": [{"TopicId": old, "Name": None}]})
    topics = [{"Name": None, "TopicId": old}]
    yield Case("DeleteTopics: by the old id", "DeleteTopics", 6, {"Topics": topics, "TimeoutMs": 10000})


def cases():
    """All of them, in order."""
    parts = (_topics, _metadata, _produce, _offsets, _fetch, _records, _admin, _cluster)
    for part in (*parts, _bytes, _again, _removals):
        yield from part()
