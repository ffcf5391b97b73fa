"""What takes more than one request: waiting, time running out, configs that act while all runs."""

import batches
from parity_case import Case, Kept, answer

SET, DELETE = 0, 1
TOPIC, BROKER = 2, 4
#: A session that nobody keeps alive.
SHORT_MS = 2000


def _topics():
    rows = [{"Name": name, "NumPartitions": 1, "ReplicationFactor": 1} for name in ("fa", "fb")]
    yield Case("CreateTopics: for flows", "CreateTopics", 7, {"Topics": rows, "timeoutMs": 10000})


def _produce(title, topic="fa", size=1, data=None, **options):
    rows = [{"Index": 0, "Records": batches.batch([b"x" * size]) if data is None else data}]
    request = {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": topic, "PartitionData": rows}]}
    return Case(f"Produce: {title}", "Produce", 12, request, **options)


def _fetch(title, offset, topic="fa", **options):
    fields = {name: options.pop(name) for name in list(options) if name[0].isupper()}
    part = {"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
    request = {"MaxWaitMs": 4000, "MinBytes": 1, "SessionEpoch": -1}
    request["Topics"] = [{"Topic": topic, "Partitions": [part]}]
    return Case(f"Fetch: {title}", "Fetch", 12, request | fields, **options)


def _waiting():
    yield _fetch("waits for records", 0, connection="waits", waits=False)
    yield _produce("for one who waits")
    yield answer("Fetch: records came", "waits", prompt=True)
    yield _fetch("waits for many bytes", 0, connection="waits", waits=False, MinBytes=300)
    yield _produce("few bytes for one who waits")
    yield _produce("enough bytes for one who waits", size=300)
    yield answer("Fetch: enough bytes came", "waits", prompt=True)
    yield _fetch("waits in vain", 3, MaxWaitMs=50)
    yield _fetch("waits for the end of its topic", 0, "fb", connection="waits", waits=False)
    rows = [{"Name": "fb", "TopicId": "00000000-0000-0000-0000-000000000000"}]
    yield Case("DeleteTopics: somebody waits for it", "DeleteTopics", 6, {"Topics": rows, "TimeoutMs": 10000})
    yield answer("Fetch: the topic is gone", "waits", prompt=True)


def _live_configs():
    def alter(title, kind, name, key, value):
        change = {"Name": key, "ConfigOperation": DELETE if value is None else SET, "Value": value}
        row = {"ResourceType": kind, "ResourceName": name, "Configs": [change]}
        return Case(f"IncrementalAlterConfigs: {title}", "IncrementalAlterConfigs", 1, {"Resources": [row]})

    for kind, name, key, value in [
        (TOPIC, "fa", "max.message.bytes", "1000"),
        (BROKER, "", "message.max.bytes", "1000"),
        (BROKER, "1", "message.max.bytes", "1000"),
        (BROKER, "", "min.insync.replicas", "2"),
        (TOPIC, "fa", "min.insync.replicas", "2"),
        (BROKER, "", "log.cleanup.policy", "compact"),
        (BROKER, "", "compression.type", "gzip"),
        (BROKER, "1", "compression.type", "zstd"),
        (TOPIC, "fa", "compression.type", "lz4"),
        (BROKER, "", "log.message.timestamp.after.max.ms", "60000"),
        (BROKER, "", "log.message.timestamp.before.max.ms", "60000"),
        (TOPIC, "fa", "message.timestamp.before.max.ms", "60000"),
    ]:
        title = f"{key} = {value} of {name!r}"
        yield alter(f"live, {title}", kind, name, key, value)
        yield _produce(f"after {title}", size=2000)
        yield _produce(f"after {title}, from long ago", data=batches.batch([b"x"], timestamp="behind"))
        yield _fetch(f"after {title}", 3, MaxWaitMs=0)
        yield alter(f"live, {title}, back", kind, name, key, None)
        yield _produce(f"after {title} went back", size=2000)


def _join(title, group, member="", session=SHORT_MS, rebalance=30000, version=3, extra=None, **options):
    request = {
        **{"GroupId": group, "SessionTimeoutMs": session, "RebalanceTimeoutMs": rebalance, "MemberId": member},
        **{"ProtocolType": "consumer", "Protocols": [{"Name": "range", "Metadata": b"m"}]},
        **(extra or {}),
    }
    return Case(f"JoinGroup: {title}", "JoinGroup", version, request, **options)


def _sync(title, group, member, generation=1, **options):
    rows = [{"MemberId": member, "Assignment": b"a"}]
    request = {"GroupId": group, "GenerationId": generation, "MemberId": member, "Assignments": rows}
    return Case(f"SyncGroup: {title}", "SyncGroup", 3, request, **options)


def _state(title, group, state, version=5):
    return Case(f"DescribeGroups: {title}", "DescribeGroups", version, {"Groups": [group]}, until={"Groups.0.GroupState": state})


def _beat(title, group, member, generation=1):
    request = {"GroupId": group, "MemberId": member, "GenerationId": generation}
    return Case(f"Heartbeat: {title}", "Heartbeat", 4, request)


def _times():
    yield _join("silent", "silent", keeps={"silent": "MemberId"})
    yield _sync("silent", "silent", Kept("silent"))
    yield _state("the silent one is gone", "silent", "Empty")
    yield _beat("of the silent one", "silent", Kept("silent"))
    yield _join("silent, static", "still", version=9, extra={"GroupInstanceId": "i"}, keeps={"still": "MemberId"})
    yield _sync("silent, static", "still", Kept("still"))
    yield _state("the silent static one is gone", "still", "Empty")
    yield _join("static and new", "still", version=9, extra={"GroupInstanceId": "i"}, keeps={"still 2": "MemberId"})

    yield _join("announced only", "announced", version=9, keeps={"announced": "MemberId"})
    yield Case("DescribeGroups: announced only", "DescribeGroups", 5, {"Groups": ["announced"]})

    # One that does not come to the rebalance is left behind.
    yield _join("late", "late", session=30000, rebalance=SHORT_MS, keeps={"late": "MemberId"})
    yield _sync("late", "late", Kept("late"))
    yield _join("in time", "late", session=30000, rebalance=SHORT_MS, connection="in time", waits=False)
    yield answer("JoinGroup: without the late one", "in time", keeps={"in time": "MemberId"})
    yield _beat("of the late one", "late", Kept("late"))
    yield _sync("in time", "late", Kept("in time"), 2)

    # One that does not fetch its assignment is left behind too.
    yield _join("leads", "fetches", session=30000, rebalance=SHORT_MS, keeps={"leads": "MemberId"})
    yield _sync("leads", "fetches", Kept("leads"))
    yield _join("follows", "fetches", session=30000, rebalance=SHORT_MS, connection="follows", waits=False)
    yield _state("one follows", "fetches", "PreparingRebalance")
    yield _join("leads again", "fetches", Kept("leads"), session=30000, rebalance=SHORT_MS)
    yield answer("JoinGroup: follows, answered", "follows", keeps={"follows": "MemberId"})
    yield _sync("leads again", "fetches", Kept("leads"), 2)
    yield _state("one does not fetch its assignment", "fetches", "PreparingRebalance")
    yield _beat("of one that does not fetch it", "fetches", Kept("follows"), 2)
    yield _join("leads alone", "fetches", Kept("leads"), session=30000, rebalance=SHORT_MS)

    # The leader does not assign.
    yield _join("assigns nothing", "idle", session=30000, rebalance=SHORT_MS, keeps={"idle": "MemberId"})
    yield _state("nothing is assigned", "idle", "Empty")
    yield _beat("of one that assigns nothing", "idle", Kept("idle"))


def cases():
    """All of them, in order."""
    for part in (_topics, _waiting, _live_configs, _times):
        yield from part()
