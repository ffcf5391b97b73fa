"""Requests of classic groups: `parity_cases.py` sends them behind its own."""

import struct

import batches
import wire
from parity_case import Case, Kept, answer



def _subscription(*topics):
    """What a consumer says about itself, in its version 0."""
    names = b"".join(struct.pack(">h", len(topic)) + topic.encode() for topic in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


def _assignment(topic, *partitions):
    name = struct.pack(">h", len(topic)) + topic.encode()
    rows = struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return struct.pack(">hi", 0, 1) + name + rows + struct.pack(">i", -1)


def _join(title, version, group, member="", protocols=("range",), metadata=None, extra=None, **options):
    metadata = _subscription("ga") if metadata is None else metadata
    request = {
        "GroupId": group,
        "SessionTimeoutMs": 30000,
        "MemberId": member,
        "ProtocolType": "consumer",
        "Protocols": [{"Name": name, "Metadata": metadata} for name in protocols],
    }
    request |= {"RebalanceTimeoutMs": 60000} if version else {}
    return Case(f"JoinGroup: {title}", "JoinGroup", version, request | (extra or {}), **options)


def _sync(title, version, group, member, generation=1, assignments=(), extra=None, **options):
    rows = [{"MemberId": id_, "Assignment": data} for id_, data in assignments]
    request = {"GroupId": group, "GenerationId": generation, "MemberId": member, "Assignments": rows}
    if version >= 5:
        request |= {"ProtocolType": "consumer", "ProtocolName": "range"}
    return Case(f"SyncGroup: {title}", "SyncGroup", version, request | (extra or {}), **options)


def _beat(title, version, group, member, generation=1, **fields):
    request = {"GroupId": group, "MemberId": member, "GenerationId": generation, **fields}
    return Case(f"Heartbeat: {title}", "Heartbeat", version, request)


def _leave(title, version, group, *members, **options):
    request = {"GroupId": group}
    request |= {"Members": list(members)} if version >= 3 else {"MemberId": members[0]}
    return Case(f"LeaveGroup: {title}", "LeaveGroup", version, request, **options)


def _describe(title, *groups, version=6, **options):
    return Case(f"DescribeGroups: {title}", "DescribeGroups", version, {"Groups": list(groups)}, **options)


def _in_state(title, group, state):
    return _describe(title, group, until={"Groups.0.GroupState": state})


def _commit(title, version, group, *rows, member="", generation=-1, **fields):
    """`rows` are (topic, partition, offset) or these and the metadata."""
    topics = []
    for topic, partition, offset, *metadata in rows:
        part = {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": (*metadata, "m")[0]}
        name = {"TopicId": f"id of {topic}"} if version >= 10 else {"Name": topic}
        topics.append({**name, "Partitions": [part]})
    request = {"GroupId": group, "MemberId": member, "GenerationIdOrMemberEpoch": generation, "Topics": topics}
    return Case(f"OffsetCommit: {title}", "OffsetCommit", version, request | fields)


def _offsets(title, version, group, topics, member=None, epoch=-1, until=None, **fields):
    """`topics` are (topic, partitions), or None for all."""
    key = "TopicId" if version >= 10 else "Name"
    said = (lambda topic: f"id of {topic}") if version >= 10 else (lambda topic: topic)
    rows = None if topics is None else [{key: said(t), "PartitionIndexes": p} for t, p in topics]
    if version < 8:
        request = {"GroupId": group, "Topics": rows}
    else:
        asked = {"GroupId": group, "Topics": rows}
        asked |= {"MemberId": member, "MemberEpoch": epoch} if version >= 9 else {}
        request = {"Groups": [asked]}
    return Case(f"OffsetFetch: {title}", "OffsetFetch", version, request | fields, until=until or {})


def _forget(title, group, *rows):
    topics = [{"Name": t, "Partitions": [{"PartitionIndex": p} for p in ps]} for t, ps in rows]
    return Case(f"OffsetDelete: {title}", "OffsetDelete", 0, {"GroupId": group, "Topics": topics})


def _delete(title, version, *groups, **options):
    return Case(f"DeleteGroups: {title}", "DeleteGroups", version, {"GroupsNames": list(groups)}, **options)


def _list(title, version, **filters):
    return Case(f"ListGroups: {title}", "ListGroups", version, filters)


def _find(title, version, *keys, kind=0, **options):
    if version >= 4:
        request = {"KeyType": kind, "CoordinatorKeys": list(keys)}
    else:
        request = {"Key": keys[0]} | ({"KeyType": kind} if version else {})
    return Case(f"FindCoordinator: {title}", "FindCoordinator", version, request, **options)


def _coordinators():
    topics = [{"Name": name, "NumPartitions": 3, "ReplicationFactor": 1} for name in ("ga", "gb")]
    yield Case("CreateTopics: for groups", "CreateTopics", 7, {"Topics": topics, "timeoutMs": 10000})
    yield _find("until it is there", 6, "g1", until={"Coordinators.0.ErrorCode": 0})
    for version in range(7):
        yield _find(f"version {version}", version, "g1")
    for version in (2, 3, 4, 6):
        yield _find(f"empty key, version {version}", version, "")
        for kind in (-1, 3, 127):
            if version != 4:
                yield _find(f"type {kind}, version {version}", version, "g1", kind=kind)
    yield _find("transactions", 6, "t", kind=1)
    yield _find("share groups in version 5", 5, "g:11111111-2222-3333-4444-555555555555:0", kind=2)
    yield _find("share group with a wrong key", 6, "g", kind=2)
    yield _find("several", 6, "g1", "", "g2", "g1", in_order=True)
    yield _find("none", 6)
    yield Case("Metadata: the internal topic", "Metadata", 12, {"Topics": [{"Name": "__consumer_offsets"}], "AllowAutoTopicCreation": False})


def _without_members():
    yield _offsets("until it is loaded", 7, "simple", [("ga", [0])], until={"ErrorCode": 0})
    yield _describe("of nobody", "nobody", "", "nobody", in_order=True)
    for version in range(7):
        yield _describe(f"of nobody, version {version}", "nobody", version=version)
    yield _describe("none")
    for version in range(2, 10):
        yield _commit(f"by nobody, version {version}", version, "simple", ("ga", 0, version))
    yield _commit("by nobody, version 10", 10, "simple", ("ga", 0, 10))
    for version in range(1, 8):
        yield _offsets(f"version {version}", version, "simple", [("ga", [0, 1, 9]), ("missing", [0])])
    for version in (8, 9):
        yield _offsets(f"version {version}", version, "simple", [("ga", [0, 1, 9]), ("missing", [0])])
    yield _offsets("version 10", 10, "simple", [("ga", [0, 1, 9])])
    yield _offsets("unknown id", 10, "simple", [("missing", [0]), ("ga", [0])])
    for version in range(2, 11):
        yield _offsets(f"all, version {version}", version, "simple", None)
    for version in (1, 2, 5, 7, 8, 9, 10):
        yield _offsets(f"of nobody, version {version}", version, "nobody", [("ga", [0])])
        yield _offsets(f"empty group, version {version}", version, "", [("ga", [0])])
        yield _offsets(f"no topics, version {version}", version, "simple", [])
    yield _offsets("all of nobody", 9, "nobody", None)
    yield _offsets("stable", 7, "simple", [("ga", [0])], RequireStable=True)
    yield _offsets("all stable", 9, "simple", None, RequireStable=True)
    yield _offsets("one twice", 9, "simple", [("ga", [0, 0]), ("ga", [0])])
    yield _offsets("negative partition", 9, "simple", [("ga", [-1])])
    yield _offsets("as a member", 9, "simple", [("ga", [0])], member="x", epoch=1)
    yield _offsets("as a member of nobody", 9, "nobody", [("ga", [0])], member="x", epoch=1)
    yield _offsets("with an epoch", 9, "simple", [("ga", [0])], epoch=0)
    asked = [{"GroupId": name, "Topics": None} for name in ("simple", "", "nobody", "simple")]
    yield Case("OffsetFetch: several groups", "OffsetFetch", 9, {"Groups": asked}, in_order=True)
    yield Case("OffsetFetch: no groups", "OffsetFetch", 9, {"Groups": []})

    yield _commit("to a missing topic", 9, "simple", ("missing", 0, 1), ("ga", 1, 1))
    yield _commit("to an unknown id", 10, "simple", ("missing", 0, 1), ("ga", 1, 2))
    yield _commit("to a missing partition", 9, "simple", ("ga", 9, 1), ("ga", -1, 1))
    yield _commit("to missing ones only", 9, "unmade", ("missing", 0, 1))
    yield _commit("to a wrong name", 9, "simple", ("a b", 0, 1), ("", 0, 1))
    yield _commit("negative", 9, "simple", ("ga", 2, -1))
    yield _commit("very negative", 9, "simple", ("ga", 2, -5))
    yield _commit("the greatest", 9, "simple", ("ga", 2, (1 << 63) - 1))
    yield _commit("no metadata", 9, "simple", ("gb", 0, 1, None))
    yield _commit("empty metadata", 9, "simple", ("gb", 1, 1, ""))
    yield _commit("as much metadata as may be", 9, "simple", ("gb", 2, 1, "x" * 4096))
    yield _commit("too much metadata", 9, "simple", ("gb", 2, 2, "x" * 4097), ("gb", 1, 2))
    yield _commit("one twice", 9, "simple", ("ga", 0, 5), ("ga", 0, 6))
    yield _commit("nothing", 9, "simple")
    yield _commit("nothing for a new group", 9, "nothing")
    yield _commit("to an empty group", 9, "", ("ga", 0, 1))
    yield _commit("to the internal topic", 9, "simple", ("__consumer_offsets", 0, 1))
    yield _commit("kept for a time", 4, "kept", ("ga", 0, 1), RetentionTimeMs=1000)
    for generation in (-2, 0, 5):
        yield _commit(f"generation {generation} of nobody", 9, f"nobody{generation}", ("ga", 0, 1), generation=generation)
    yield _commit("a member without a generation", 9, "simple", ("ga", 0, 1), member="x")
    yield _commit("a member of a group without any", 9, "simple", ("ga", 0, 1), member="x", generation=3)
    yield _commit("an instance of nobody", 9, "simple", ("ga", 0, 1), GroupInstanceId="i")
    part = {"PartitionIndex": 1, "CommittedOffset": 5, "CommittedLeaderEpoch": 7, "CommittedMetadata": "e"}
    rows = {"GroupId": "epoch", "Topics": [{"Name": "ga", "Partitions": [part]}]}
    yield Case("OffsetCommit: with an epoch", "OffsetCommit", 9, rows)
    yield _offsets("with an epoch committed", 9, "epoch", None)
    yield _offsets("everything", 9, "simple", None)
    yield _describe("without members", "simple")
    for version in range(6):
        yield _list(f"version {version}", version)
    yield _forget("nobody's", "nobody", ("ga", [0]))
    yield _forget("of an empty name", "", ("ga", [0]))
    yield _forget("some", "simple", ("gb", [0, 9, 0]), ("missing", [0]), ("ga", [2]))
    yield _forget("nothing", "simple")
    yield _offsets("after some are deleted", 9, "simple", None)
    yield _forget("the last", "epoch", ("ga", [1]))
    yield _describe("after the last is deleted", "epoch")
    for version in range(4):
        yield _delete(f"nobody, version {version}", version, "nobody")
    yield _delete("some", 3, "simple", "", "nobody", "simple")
    yield _delete("none", 3)
    yield _offsets("after the group is deleted", 9, "simple", None)
    yield _describe("after it is deleted", "simple")


def _joins():
    for version in range(4):
        yield _join(f"version {version}", version, f"v{version}", keeps={f"member {version}": "MemberId"})
        yield _leave(f"version {version}", version, f"v{version}", {"MemberId": Kept(f"member {version}")} if version >= 3 else Kept(f"member {version}"))
    for version in range(4, 10):
        extra = {"Reason": "why not"} if version >= 8 else {}
        yield _join(f"version {version}, no id", version, f"v{version}", extra=extra, keeps={f"member {version}": "MemberId"})
        yield _join(f"version {version}, with the id", version, f"v{version}", Kept(f"member {version}"), extra=extra)
        yield _sync(f"after joining by version {version}", 4 if version < 9 else 5, f"v{version}", Kept(f"member {version}"), assignments=[(Kept(f"member {version}"), b"x")])
        yield _beat(f"after joining by version {version}", 4, f"v{version}", Kept(f"member {version}"))
    yield _describe("of one that joined", "v9")
    yield _describe("of one that joined, version 3", "v9", version=3)
    yield _describe("of one that joined, version 4", "v9", version=4)
    request = {"Groups": ["v9", "nobody"], "IncludeAuthorizedOperations": True}
    yield Case("DescribeGroups: operations", "DescribeGroups", 6, request)
    yield _leave("version 4", 4, "v8", {"MemberId": Kept("member 8")})
    yield _leave("version 5", 5, "v9", {"MemberId": Kept("member 9"), "Reason": "tired"})
    yield _describe("of one that left", "v9")

    yield _join("empty group", 9, "")
    for timeout in (-1, 0, 499, 1800001):
        yield _join(f"session of {timeout}", 9, "times", extra={"SessionTimeoutMs": timeout})
    yield _join("unknown member", 9, "strangers", "somebody")
    yield _join("unknown member, version 3", 3, "strangers", "somebody")
    yield _join("no protocols", 3, "protocols", protocols=())
    yield _join("no protocols, version 9", 9, "protocols", protocols=())
    yield _join("no type", 3, "protocols", extra={"ProtocolType": ""})
    yield _join("protocol without a name", 3, "nameless", protocols=("",), keeps={"nameless": "MemberId"})
    yield _join("wrong metadata", 3, "gibberish", metadata=b"\xff", keeps={"gibberish": "MemberId"})
    yield _sync("wrong metadata", 3, "gibberish", Kept("gibberish"), assignments=[(Kept("gibberish"), b"\xff")])
    yield _describe("with wrong metadata", "gibberish")
    yield _forget("with wrong metadata", "gibberish", ("ga", [0]))
    for timeout in (-1, 0):
        yield _join(f"rebalance of {timeout}", 3, f"rebalance{timeout}", extra={"RebalanceTimeoutMs": timeout})
    for index, name in enumerate(("", ".", "a b", "ä", "x" * 249, "x" * 250)):
        yield _join(f"instance {name[:5]!r} of {len(name)}", 9, f"instance {index}", extra={"GroupInstanceId": name})


def _rebalances():
    """A group of two: requests that wait are sent on their own connections."""
    yield _join("first", 3, "pair", keeps={"first": "MemberId"}, protocols=("range", "roundrobin"))
    yield _in_state("before the first assignment", "pair", "CompletingRebalance")
    yield _beat("before the assignment", 4, "pair", Kept("first"))
    yield _commit("before the assignment", 9, "pair", ("ga", 0, 1), member=Kept("first"), generation=1)
    yield _forget("before the assignment", "pair", ("ga", [0]))
    yield _sync("a wrong generation", 5, "pair", Kept("first"), generation=9)
    yield _sync("a stranger", 5, "pair", "stranger")
    yield _sync("another type", 5, "pair", Kept("first"), extra={"ProtocolType": "connect"})
    yield _sync("another protocol", 5, "pair", Kept("first"), extra={"ProtocolName": "roundrobin"})
    yield _sync("no type", 5, "pair", Kept("first"), extra={"ProtocolType": None, "ProtocolName": "range"})
    yield _sync("empty group", 5, "", Kept("first"))
    yield _sync("of nobody", 5, "nobody", Kept("first"))
    yield _sync("the first", 5, "pair", Kept("first"), assignments=[(Kept("first"), _assignment("ga", 0, 1, 2)), ("stranger", b"y")])
    yield _sync("the first again", 5, "pair", Kept("first"))
    yield _describe("of one", "pair")
    for version in range(5):
        yield _beat(f"version {version}", version, "pair", Kept("first"))
    yield _beat("a wrong generation", 4, "pair", Kept("first"), generation=2)
    yield _beat("generation -1", 4, "pair", Kept("first"), generation=-1)
    yield _beat("a stranger", 4, "pair", "stranger")
    yield _beat("no member", 4, "pair", "")
    yield _beat("an instance nobody has", 4, "pair", Kept("first"), GroupInstanceId="i")
    yield _beat("empty group", 4, "", Kept("first"))
    yield _beat("of nobody", 4, "nobody", Kept("first"))
    yield _commit("by the member", 9, "pair", ("ga", 0, 1), member=Kept("first"), generation=1)
    yield _commit("by nobody into an active group", 9, "pair", ("ga", 0, 2))
    yield _commit("by a stranger", 9, "pair", ("ga", 0, 3), member="stranger", generation=1)
    yield _commit("of a wrong generation", 9, "pair", ("ga", 0, 4), member=Kept("first"), generation=2)
    yield _commit("of generation -1 by the member", 9, "pair", ("ga", 0, 5), member=Kept("first"))
    yield _commit("by an instance nobody has", 9, "pair", ("ga", 0, 6), member=Kept("first"), generation=1, GroupInstanceId="i")
    yield _offsets("of an active group", 9, "pair", None)
    yield _offsets("as the member of a classic group", 9, "pair", None, member=Kept("first"), epoch=1)
    yield _forget("subscribed", "pair", ("ga", [0]), ("gb", [0]))
    yield _delete("not empty", 3, "pair")
    yield _delete("not empty, version 2", 2, "pair")
    yield _join("another type of protocol", 9, "pair", extra={"ProtocolType": "connect"})
    yield _join("nothing in common", 9, "pair", protocols=("sticky",))
    yield _join("nothing in common, version 3", 3, "pair", protocols=("sticky",))
    yield _join("the member itself with nothing in common", 9, "pair", Kept("first"), protocols=("sticky",), connection="self", waits=True)
    yield _describe("after a refused protocol", "pair")

    yield _join("second", 3, "pair", connection="second", waits=False)
    yield _in_state("while a second one waits", "pair", "PreparingRebalance")
    yield _beat("while a second one waits", 4, "pair", Kept("first"))
    yield _commit("while a second one waits", 9, "pair", ("ga", 0, 7), member=Kept("first"), generation=1)
    yield _sync("while a second one waits", 5, "pair", Kept("first"))
    yield _join("the first again", 3, "pair", Kept("first"), protocols=("range", "roundrobin"))
    yield answer("JoinGroup: second answered", "second", keeps={"second": "MemberId"})
    yield _sync("second", 4, "pair", Kept("second"), 2, connection="second", waits=False)
    both = [(Kept("first"), _assignment("ga", 0, 1)), (Kept("second"), _assignment("ga", 2))]
    yield _sync("first of two", 4, "pair", Kept("first"), 2, both)
    yield answer("SyncGroup: second answered", "second")
    yield _describe("of two", "pair")
    yield _join("second, with nothing new", 9, "pair", Kept("second"))
    yield _join("second, with nothing new, version 5", 5, "pair", Kept("second"))
    yield _in_state("after a member without news", "pair", "Stable")
    yield _join("third", 9, "pair", connection="third", keeps={"third": "MemberId"})
    yield _join("third with its id", 9, "pair", Kept("third"), connection="third", waits=False)
    yield _in_state("while a third one waits", "pair", "PreparingRebalance")
    yield _join("fourth", 3, "pair", connection="fourth", waits=False)
    yield _describe("while a fourth one waits", "pair", until={"Groups.0.Members.3.ClientId": "parity"})
    yield _leave("the third and strangers", 5, "pair", {"MemberId": Kept("third")}, {"MemberId": "stranger"}, {"MemberId": Kept("third")}, in_order=True)
    yield answer("JoinGroup: third answered", "third")
    yield _leave("version 0, a stranger", 0, "pair", "stranger")
    yield _leave("of nobody", 5, "nobody", {"MemberId": "stranger"})
    yield _leave("of nobody, version 2", 2, "nobody", "stranger")
    yield _leave("empty group", 5, "", {"MemberId": "stranger"})
    yield _leave("none", 5, "pair")
    yield _leave("an instance nobody has", 5, "pair", {"MemberId": "", "GroupInstanceId": "i"})
    yield _leave("the first two", 5, "pair", {"MemberId": Kept("first")}, {"MemberId": Kept("second")}, in_order=True)
    yield answer("JoinGroup: fourth answered", "fourth", keeps={"fourth": "MemberId"})
    yield _in_state("of the fourth alone", "pair", "CompletingRebalance")
    yield _leave("the fourth", 3, "pair", {"MemberId": Kept("fourth")})
    yield _describe("of an empty one", "pair")
    yield _commit("by nobody into an empty group", 9, "pair", ("ga", 1, 8))
    yield _commit("by one who has left", 9, "pair", ("ga", 1, 9), member=Kept("first"), generation=1)
    yield _forget("of an empty group", "pair", ("ga", [0]))
    yield _join("into what was there", 3, "pair", keeps={"fifth": "MemberId"}, extra={"ProtocolType": "other"})
    yield _forget("of another type", "pair", ("ga", [1]))
    yield _commit("by nobody into another type", 9, "pair", ("ga", 1, 8))
    yield _leave("of another type", 3, "pair", {"MemberId": Kept("fifth")})


def _full():
    """No group may have more than four members here."""
    names = ("second", "third", "fourth")
    yield _join("first of a full group", 3, "full", keeps={"full": "MemberId"})
    yield _sync("first of a full group", 5, "full", Kept("full"))
    for index, name in enumerate(names):
        yield _join(f"{name} of a full group", 3, "full", connection=f"{name} of four", waits=False)
        yield _describe(f"{name} of a full group", "full", until={f"Groups.0.Members.{index + 1}.ClientId": "parity"})
    yield _join("first of a full group again", 3, "full", Kept("full"))
    for name in names:
        yield answer(f"JoinGroup: {name} of a full group answered", f"{name} of four")
    yield _join("one too many", 3, "full", connection="fifth")
    yield _join("one too many, version 9", 9, "full", connection="fifth")
    yield _join("one too many, static", 9, "full", connection="fifth", extra={"GroupInstanceId": "fifth"})


def _static_members():
    instance = {"GroupInstanceId": "i"}

    def join(title, member="", version=9, metadata=None, **options):
        return _join(f"static, {title}", version, "static", member, metadata=metadata, extra=instance, **options)

    def begun(name):
        return {name: "MemberId", "generation": "GenerationId"}

    generation = Kept("generation")
    yield join("first", keeps=begun("static"))
    yield _sync("static", 5, "static", Kept("static"), assignments=[(Kept("static"), b"x")], extra=instance)
    yield _describe("static", "static")
    yield join("with its id", Kept("static"), keeps=begun("static"))
    yield _sync("static again", 5, "static", Kept("static"), generation, [(Kept("static"), b"y")], instance)
    yield join("with another id", "stranger")
    yield join("replaced", keeps=begun("static 2"))
    yield _describe("static, replaced", "static")
    yield join("replaced, version 5", version=5, keeps=begun("static 3"))
    yield join("replaced, version 8", version=8, keeps=begun("static 3"))
    yield _describe("static, replaced by old versions", "static")
    yield join("fenced", Kept("static"))
    yield _sync("fenced", 5, "static", Kept("static"), generation, extra=instance)
    yield _sync("by the one that replaces it", 5, "static", Kept("static 3"), generation, extra=instance)
    yield _sync("by an instance nobody has", 5, "static", Kept("static 3"), generation, extra={"GroupInstanceId": "j"})
    yield _beat("fenced", 4, "static", Kept("static"), generation, **instance)
    yield _beat("fenced, without the instance", 4, "static", Kept("static"), generation)
    yield _beat("by the one that replaces it", 4, "static", Kept("static 3"), generation, **instance)
    yield _beat("without its instance", 4, "static", Kept("static 3"), generation)
    yield _commit("fenced", 9, "static", ("ga", 0, 1), member=Kept("static"), generation=generation, **instance)
    yield _commit("by the one that replaces it", 9, "static", ("ga", 0, 1), member=Kept("static 3"), generation=generation, **instance)
    yield join("other topics", metadata=_subscription("gb"), keeps=begun("static 4"))
    yield _describe("static with other topics", "static")
    yield _sync("static with other topics", 5, "static", Kept("static 4"), generation, extra=instance)
    yield _leave("static, fenced", 5, "static", {"MemberId": Kept("static"), "GroupInstanceId": "i"})
    yield _leave("static, version 2", 2, "static", Kept("static"))
    yield _leave("static by its instance", 5, "static", {"MemberId": "", "GroupInstanceId": "i"}, {"MemberId": "", "GroupInstanceId": "j"}, in_order=True)
    yield _describe("static that left", "static")


def _others():
    """What is listed at the end, and what is not to be done to the topic behind it all."""
    yield _join("of Connect", 3, "connected", protocols=("sessioned",), metadata=b"\0\1", extra={"ProtocolType": "connect"}, keeps={"worker": "MemberId"})
    yield _sync("of Connect", 5, "connected", Kept("worker"), assignments=[(Kept("worker"), b"w")], extra={"ProtocolType": "connect", "ProtocolName": "sessioned"})
    yield _describe("of Connect", "connected")
    yield _forget("of Connect", "connected", ("ga", [0]))
    yield _commit("kept", 9, "connected", ("ga", 0, 1), member=Kept("worker"), generation=1)
    for states in (["Stable"], ["stable"], ["Empty", "Dead"], ["PreparingRebalance"], ["LOUD"], [""], ["Assigning"]):
        yield _list(f"states {states}", 5, StatesFilter=states)
    for types in (["classic"], ["Classic"], ["consumer"], ["share"], ["LOUD"], [""], ["classic", "consumer"]):
        yield _list(f"types {types}", 5, TypesFilter=types)
    yield _list("both", 5, StatesFilter=["Stable"], TypesFilter=["classic"])
    yield _list("version 4, states", 4, StatesFilter=["Stable"])
    yield _list("all", 5)

    internal = "__consumer_offsets"
    row = {"ResourceType": 2, "ResourceName": internal, "ConfigurationKeys": None}
    yield Case("DescribeConfigs: the internal topic", "DescribeConfigs", 4, {"Resources": [row]})
    change = {"Name": "retention.ms", "ConfigOperation": 0, "Value": "500000"}
    row = {"ResourceType": 2, "ResourceName": internal, "Configs": [change]}
    yield Case("IncrementalAlterConfigs: the internal topic", "IncrementalAlterConfigs", 1, {"Resources": [row]})
    rows = [{"Name": internal, "Partitions": [{"PartitionIndex": 0, "Offset": 0}]}]
    yield Case("DeleteRecords: the internal topic", "DeleteRecords", 2, {"Topics": rows, "TimeoutMs": 5000})
    rows = [{"Name": internal, "Count": 6, "Assignments": None}]
    yield Case("CreatePartitions: the internal topic, validated", "CreatePartitions", 3, {"Topics": rows, "TimeoutMs": 5000, "ValidateOnly": True})
    rows = [{"Name": internal, "NumPartitions": 1, "ReplicationFactor": 1}]
    yield Case("CreateTopics: the internal topic", "CreateTopics", 7, {"Topics": rows, "timeoutMs": 10000})
    yield Case("DescribeTopicPartitions: the internal topic", "DescribeTopicPartitions", 0, {"Topics": [{"Name": internal}]})
    rows = [{"Name": internal, "PartitionIndexes": [9]}]
    yield Case("DescribeProducers: the internal topic", "DescribeProducers", 0, {"Topics": rows})
    rows = [{"Name": internal, "Partitions": [{"PartitionIndex": 9, "Timestamp": -1}]}]
    yield Case("ListOffsets: the internal topic", "ListOffsets", 7, {"ReplicaId": -1, "Topics": rows})
    topics = [{"Name": name, "TopicId": wire.NO_UUID} for name in ("ga", "gb")]
    yield Case("DeleteTopics: of groups", "DeleteTopics", 6, {"Topics": topics, "TimeoutMs": 10000})
    yield _offsets("after the topics are deleted", 9, "connected", None)
    yield _join("one protocol twice", 3, "twofold", protocols=("range", "range"))
    rows = [{"Index": 0, "Records": batches.batch([b"a"])}]
    for version in (3, 12):
        request = {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": internal, "PartitionData": rows}]}
        yield Case(f"Produce: to the internal topic, version {version}", "Produce", version, request)


def cases():
    """All of them, in order."""
    parts = (_coordinators, _without_members, _joins, _rebalances, _full, _static_members, _others)
    for part in parts:
        yield from part()
