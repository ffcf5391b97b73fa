"""What is refused, in every version that can say it: `parity_cases.py` sends these behind all others."""

import batches
import wire
from parity_case import Case, Kept


def _each(title, api, versions, make):
    """The request that `make` gives for each version."""
    for version in versions:
        yield Case(f"{api}: {title}, in version {version}", api, version, make(version))


def _topics():
    row = {"Name": "va", "NumPartitions": 1, "ReplicationFactor": 1}
    yield Case("CreateTopics: for versions", "CreateTopics", 7, {"Topics": [row], "timeoutMs": 10000})
    wrong = [
        ("wrong name", {"Name": "a b"}),
        ("there already", {}),
        ("no partitions", {"Name": "vb", "NumPartitions": 0}),
        ("too many replicas", {"Name": "vb", "ReplicationFactor": 9}),
        ("wrong config", {"Name": "vb", "Configs": [{"Name": "retention.ms", "Value": "x"}]}),
    ]
    for title, fields in wrong:
        request = {"Topics": [row | fields], "timeoutMs": 10000}
        yield from _each(title, "CreateTopics", range(2, 8), lambda _: request)
    validated = {"Topics": [row | {"Name": "vb"}], "timeoutMs": 10000, "validateOnly": True}
    yield from _each("only validated", "CreateTopics", range(2, 8), lambda _: validated)
    for title, name, count in [("fewer", "va", 0), ("as many", "va", 1), ("missing topic", "missing", 5), ("wrong name", "a b", 5)]:
        request = {"Topics": [{"Name": name, "Count": count, "Assignments": None}], "TimeoutMs": 10000}
        yield from _each(title, "CreatePartitions", range(4), lambda _: request)
    for name in ("missing", "a b", ""):
        request = {"TopicNames": [name], "TimeoutMs": 10000}
        yield from _each(f"topic {name!r}", "DeleteTopics", range(1, 6), lambda _: request)
    for title, name, offset in [("beyond", "va", 1000), ("missing topic", "missing", 0), ("negative", "va", -5)]:
        rows = [{"Name": name, "Partitions": [{"PartitionIndex": 0, "Offset": offset}]}]
        yield from _each(title, "DeleteRecords", range(3), lambda _: {"Topics": rows, "TimeoutMs": 5000})
    names = [{"Name": "a b"}, {"Name": ""}]
    yield from _each("wrong names", "Metadata", range(14), lambda _: {"Topics": names})
    asked = {"Topics": [{"Name": "missing"}], "AllowAutoTopicCreation": False}
    yield from _each("missing topic", "Metadata", range(4, 14), lambda _: asked)


def _records():
    def produce(topic, partition, data):
        def make(version):
            known = {"TopicId": f"id of {topic}"} if version >= 13 else {"Name": topic}
            rows = [known | {"PartitionData": [{"Index": partition, "Records": data}]}]
            return {"Acks": -1, "TimeoutMs": 5000, "TopicData": rows}

        return make

    one = batches.batch([b"a"])
    for title, topic, partition, data in [
        ("missing topic", "missing", 0, one),
        ("missing partition", "va", 7, one),
        ("wrong CRC", "va", 0, batches.batch([b"a"], crc=1)),
        ("count too high", "va", 0, batches.batch([b"a"], count=2)),
        ("out of order", "va", 0, batches.batch([b"a"], producer=(77, 3, 5))),
        ("too large", "va", 0, batches.batch([b"x" * 1100000])),
        ("two batches", "va", 0, one + one),
    ]:
        yield from _each(title, "Produce", range(3, 14), produce(topic, partition, data))

    def fetch(topic, partition, offset, epoch=-1):
        def make(version):
            known = {"TopicId": f"id of {topic}"} if version >= 13 else {"Topic": topic}
            part = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1000, "CurrentLeaderEpoch": epoch}
            return {"MaxWaitMs": 0, "MinBytes": 1, "SessionEpoch": -1, "Topics": [known | {"Partitions": [part]}]}

        return make

    for title, topic, partition, offset in [
        ("missing topic", "missing", 0, 0),
        ("missing partition", "va", 7, 0),
        ("out of range", "va", 0, 1000),
    ]:
        yield from _each(title, "Fetch", range(4, 19), fetch(topic, partition, offset))
    yield from _each("epoch of the future", "Fetch", range(9, 19), fetch("va", 0, 0, 99))

    for title, topic, partition, epoch in [("missing topic", "missing", 0, -1), ("missing partition", "va", 7, -1), ("epoch of the future", "va", 0, 99)]:
        part = {"PartitionIndex": partition, "Timestamp": -1, "CurrentLeaderEpoch": epoch}
        rows = [{"Name": topic, "Partitions": [part]}]
        yield from _each(title, "ListOffsets", range(1, 12), lambda _: {"ReplicaId": -1, "Topics": rows})
        part = {"Partition": partition, "CurrentLeaderEpoch": epoch, "LeaderEpoch": 0}
        rows_of_epochs = [{"Topic": topic, "Partitions": [part]}]
        yield from _each(title, "OffsetForLeaderEpoch", range(2, 5), lambda _: {"Topics": rows_of_epochs})
    for title, fields in [("empty id", {"TransactionalId": ""}), ("an epoch without an id", {"TransactionalId": None, "ProducerEpoch": 5})]:
        yield from _each(title, "InitProducerId", range(6), lambda _: {"TransactionTimeoutMs": 1000, **fields})


def _admin():
    for title, kind, name in [("missing topic", 2, "missing"), ("another broker", 4, "9"), ("no such type", 3, "x"), ("another's loggers", 8, "9")]:
        row = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": None}
        yield from _each(title, "DescribeConfigs", range(1, 5), lambda _: {"Resources": [row]})
        change = {"Name": "retention.ms", "ConfigOperation": 0, "Value": "5"}
        altered = {"ResourceType": kind, "ResourceName": name, "Configs": [change]}
        yield from _each(title, "IncrementalAlterConfigs", range(2), lambda _: {"Resources": [altered]})
        replaced = altered | {"Configs": [{"Name": "retention.ms", "Value": "5"}]}
        yield from _each(title, "AlterConfigs", range(3), lambda _: {"Resources": [replaced]})
    rows = [{"Topic": "missing", "Partitions": [0]}]
    yield from _each("missing topic", "ElectLeaders", range(3), lambda _: {"TopicPartitions": rows, "TimeoutMs": 10000})
    for title, name, replicas in [("missing topic", "missing", [1]), ("to 9", "va", [9])]:
        moved = [{"Name": name, "Partitions": [{"PartitionIndex": 0, "Replicas": replicas}]}]
        yield from _each(title, "AlterPartitionReassignments", range(2), lambda _: {"Topics": moved, "TimeoutMs": 10000})
    quorum = [{"TopicName": "va", "Partitions": [{"PartitionIndex": 0}]}]
    yield from _each("another topic", "DescribeQuorum", range(3), lambda _: {"Topics": quorum})
    yield from _each("nothing", "DescribeQuorum", range(3), lambda _: {"Topics": []})
    for title, feature, level in [("unknown", "no.such", 1), ("too high", "metadata.version", 99)]:
        updates = [{"Feature": feature, "MaxVersionLevel": level}]
        yield from _each(title, "UpdateFeatures", range(3), lambda _: {"FeatureUpdates": updates, "timeoutMs": 10000})
    missing = [{"Topic": "missing", "Partitions": [0]}]
    yield from _each("missing topic", "DescribeLogDirs", range(1, 6), lambda _: {"Topics": missing})


def _groups():
    def join(group, member="", session=30000, kind="consumer", protocol="range"):
        rows = [{"Name": protocol, "Metadata": b"x"}]
        return {"GroupId": group, "SessionTimeoutMs": session, "RebalanceTimeoutMs": 30000, "MemberId": member, "ProtocolType": kind, "Protocols": rows}

    def without_timeout(request):
        return lambda version: {k: v for k, v in request.items() if version or k != "RebalanceTimeoutMs"}

    member = Kept("of versions")
    yield Case("JoinGroup: for versions", "JoinGroup", 3, join("versions"), keeps={member.name: "MemberId"})
    rows = [{"MemberId": member, "Assignment": b"x"}]
    sync = {"GroupId": "versions", "GenerationId": 1, "MemberId": member, "Assignments": rows}
    yield Case("SyncGroup: for versions", "SyncGroup", 3, sync)
    for title, request in [
        ("empty group", join("")),
        ("unknown member", join("versions", "stranger")),
        ("short session", join("versions", session=1)),
        ("another type", join("versions", kind="connect")),
        ("another protocol", join("versions", protocol="sticky")),
    ]:
        yield from _each(title, "JoinGroup", range(10), without_timeout(request))
    for title, group, who, generation in [
        ("empty group", "", member, 1),
        ("nobody", "nobody", "stranger", 1),
        ("a stranger", "versions", "stranger", 1),
        ("a wrong generation", "versions", member, 7),
    ]:
        known = {"GroupId": group, "MemberId": who, "GenerationId": generation}
        names = {"ProtocolType": "consumer", "ProtocolName": "range"}
        yield from _each(title, "SyncGroup", range(6), lambda version: known | (names if version >= 5 else {}))
        yield from _each(title, "Heartbeat", range(5), lambda _: known)
        yield from _each(
            title,
            "LeaveGroup",
            range(6),
            lambda version: {"GroupId": group, **({"Members": [{"MemberId": "stranger"}]} if version >= 3 else {"MemberId": "stranger"})},
        )
        for topic, metadata in (("va", "m"), ("missing", "m"), ("va", "m" * 5000)):
            part = {"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": metadata}

            def commit(version):
                name = {"TopicId": f"id of {topic}"} if version >= 10 else {"Name": topic}
                fields = {"GroupId": group, "MemberId": who, "GenerationIdOrMemberEpoch": generation}
                return fields | {"Topics": [name | {"Partitions": [part]}]}

            yield from _each(f"{title}, {topic}, metadata of {len(metadata)}", "OffsetCommit", range(2, 11), commit)
    yield from _each("not empty", "DeleteGroups", range(4), lambda _: {"GroupsNames": ["versions"]})
    yield from _each("an empty name", "DescribeGroups", range(7), lambda _: {"Groups": [""]})


def _first_things_first():
    """Of several things that are wrong, which is said."""
    for name in ("missing", "va"):
        configs = [{"Name": "no.such", "Value": "5"}]
        row = {"ResourceType": 2, "ResourceName": name, "Configs": configs}
        yield Case(f"AlterConfigs: an unknown one of {name}", "AlterConfigs", 2, {"Resources": [row]})
        row = row | {"Configs": [configs[0] | {"ConfigOperation": 0}]}
        yield Case(f"IncrementalAlterConfigs: an unknown one of {name}", "IncrementalAlterConfigs", 1, {"Resources": [row]})
    for title, names in [("of a missing topic", ["missing"]), ("of two", ["missing", "va"]), ("twice", ["va", "va"])]:
        rows = [{"Name": name, "Count": (1 << 31) - 1, "Assignments": None} for name in names]
        yield Case(f"CreatePartitions: far too many {title}", "CreatePartitions", 3, {"Topics": rows, "TimeoutMs": 5000})
    for version in (1, 2, 3, 4, 6):
        request = {"KeyType": 2, **({"CoordinatorKeys": ["x"]} if version >= 4 else {"Key": "x"})}
        yield Case(f"FindCoordinator: share group, version {version}", "FindCoordinator", version, request)


def _last():
    """Without the topic behind all groups little can be asked."""
    topics = [{"Name": "__consumer_offsets", "TopicId": wire.NO_UUID}]
    yield Case("DeleteTopics: the internal topic", "DeleteTopics", 6, {"Topics": topics, "TimeoutMs": 10000})


def cases():
    """All of them, in order."""
    for part in (_topics, _records, _admin, _groups, _first_things_first, _last):
        yield from part()
