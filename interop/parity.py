"""Asks a broker everything in `parity_cases.py` and keeps its answers.

    python parity.py record HOST:PORT     writes parity-kafka-4.4.json from a running Apache Kafka 4.4
    python parity.py compare HOST:PORT    prints where a running Ottla differs, as parity-own.json has it

Either must be a fresh single node with the settings of `SETTINGS`.
"""

import json
import pathlib
import re
import sys
import time

import parity_case
import parity_cases
import wire

#: What both brokers are started with.
SETTINGS = {
    **{"node.id": 1, "num.partitions": 4, "broker.rack": "rack1", "min.insync.replicas": 1},
    **{"offsets.topic.num.partitions": 5, "offsets.topic.replication.factor": 1},
    **{"group.initial.rebalance.delay.ms": 0, "group.max.size": 4, "group.min.session.timeout.ms": 500},
}
RECORDED = pathlib.Path(__file__).resolve().parent / "parity-kafka-4.4.json"
OWN = RECORDED.with_name("parity-own.json")
#: What differs from run to run and means nothing here.
UNSTEADY = {
    *("FinalizedFeaturesEpoch", "ProducerId", "TotalBytes", "UsableBytes"),
    *("HighWatermark", "LogEndOffset", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Port"),
    *("LeaderEpoch", "LogAppendTimeMs", "LastTimestamp", "PartitionSize", "ReplicaDirectoryId"),
}


FIRST_ID = {"TransactionalId": None, "TransactionTimeoutMs": 60000, "ProducerId": -1, "ProducerEpoch": -1}
CLOSED = "the connection is closed"
SILENT = "no answer"
SENT = "sent"
LATE = "too late"
UUID = r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b"
#: Requests wait for 5 seconds at most, so nothing comes after this.
PATIENCE_SECONDS = 7
#: Requests that must not wait could wait for 4 seconds.
PROMPT_SECONDS_MAX = 3


class Session:
    """One broker under comparison."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.client = wire.Client(bootstrap, timeout=PATIENCE_SECONDS)
        self.clients = {"main": self.client}
        self.sent = {}
        self.kept = {}
        self.topic_ids = {}
        described = self.client.call("DescribeLogDirs", 4, {"Topics": []})
        self.log_dir = described["Results"][0]["LogDir"]
        self.cluster = self.client.call("DescribeCluster", 0)["ClusterId"]

    def ask(self, case):
        """The answer in the form in which it is compared."""
        if case.api == "raw":
            return self._ask_raw(*case.request)
        begun = time.monotonic()
        try:
            answer = self._answered(case)
        except wire.Closed:
            return CLOSED
        except wire.Silent:
            return SILENT
        if answer is None:
            return SENT
        for name, field in case.keeps.items():
            self.kept[name] = _at(answer, field)
        if case.api == "CreateTopics" and case.version == 7:
            for topic in answer["Topics"]:
                if topic["TopicId"] != wire.NO_UUID:
                    self.topic_ids[topic["Name"]] = topic["TopicId"]
        if case.only:
            answer = {name: value for name, value in answer.items() if name in case.only}
        if case.prompt and time.monotonic() - begun > PROMPT_SECONDS_MAX:
            return LATE
        return self._steady(answer, case)

    def _answered(self, case):
        if case.connection not in self.clients:
            self.clients[case.connection] = wire.Client(self.bootstrap, timeout=PATIENCE_SECONDS)
        client = self.clients[case.connection]
        if case.api == "answer":
            return client.receive(*self.sent.pop(case.connection))
        request = self._resolved(case.request)
        if not case.waits:
            self.sent[case.connection] = (case.api, case.version)
            return client.send(case.api, case.version, request)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = client.call(case.api, case.version, request)
            is_there = all(_at(answer, field) == value for field, value in case.until.items())
            if is_there or time.monotonic() > deadline:
                return answer
            time.sleep(0.02)

    def _ask_raw(self, key, version, is_flexible, body):
        try:
            answer = self.client.exchange(key, version, is_flexible, body).hex()
            answer = answer.replace(self.cluster.encode().hex(), "<cluster>")
            port = int(self.bootstrap.rpartition(":")[2])
            return answer.replace(f"{port:08x}", "<port>")
        except wire.Closed:
            return CLOSED
        except wire.Silent:
            return SILENT

    def _resolved(self, value):
        if isinstance(value, parity_case.Kept):
            return self.kept[value.name]
        if isinstance(value, dict):
            return {name: self._resolved(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._resolved(inner) for inner in value]
        if isinstance(value, str) and value.startswith("id of "):
            return self.topic_ids.get(value[6:], "99999999-2222-3333-4444-555555555555")
        return self.log_dir if value == "the log directory" else value

    def _steady(self, value, case, name=None):
        if isinstance(value, dict):
            rows = value.items()
            is_known = lambda k, v: k not in UNSTEADY and (k != "Documentation" or v is not None)
            return {k: self._steady(v, case, k) for k, v in rows if is_known(k, v)}
        if isinstance(value, list):
            items = [self._steady(inner, case, name) for inner in value if not _is_ours(inner)]
            is_set = name not in ("Synonyms", "ReplicaNodes", "IsrNodes", "RecordErrors")
            key = lambda item: json.dumps(item, sort_keys=True)
            return sorted(items, key=key) if is_set and not case.in_order else items
        if isinstance(value, bytes):
            return f"bytes {value.hex()}" if name != "Records" else _read_batches(value)
        if name == "Documentation":
            return bool(value)
        if isinstance(value, str):
            return self._steady_text(value)
        if name == "SessionId" and value:
            return "<session>"
        return "<time>" if name == "Timestamp" and value > 1 << 40 else value

    def _steady_text(self, text):
        for topic, topic_id in self.topic_ids.items():
            text = text.replace(topic_id, f"<id of {topic}>")
        for name, value in self.kept.items():
            text = f"<{name}>" if text == value and value else text
        text = text.replace(self.log_dir, "<log directory>").replace(self.cluster, "<cluster>")
        text = re.sub(r"\b1[67]\d{11}\b|-92233702\d{11}\b", "<time>", text)
        text = re.sub(r"127\.0\.0\.1:\d{4,5}", "<address>", text)
        text = re.sub(UUID, "<uuid>", text)
        if re.fullmatch(r"[A-Za-z0-9_-]{22}", text):
            return "<id>"
        return text


def _at(answer, path):
    """A field of an answer: `Groups.0.GroupState`."""
    for step in path.split("."):
        rows = isinstance(answer, list)
        answer = (answer[int(step)] if int(step) < len(answer) else {}) if rows else answer.get(step)
    return answer


def _is_ours(row):
    """A config that Kafka does not have."""
    return isinstance(row, dict) and str(row.get("Name", "")).startswith("ottla.")


def _read_batches(data):
    """How many batches there are, where the first one begins, and their codecs."""
    at, first, codecs = 0, None, []
    while at + 12 <= len(data):
        first = int.from_bytes(data[at : at + 8], "big") if first is None else first
        end = at + 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        if end <= len(data):
            codecs.append(data[at + 22] & 7)
        at = end
    said = f", of codecs {codecs}" if any(codecs) else ""
    return f"{len(codecs)} batches from {first}{said}"


def answers(bootstrap, patience_seconds=0):
    """Every answer, by the case's title. Kafka's brokers follow its controller a little later."""
    session = Session(bootstrap)
    while patience_seconds and session.client.call("InitProducerId", 4, FIRST_ID)["ErrorCode"]:
        time.sleep(patience_seconds)  # It has no ids to give away yet.
    found = {}
    for case in parity_cases.cases():
        assert case.title not in found, f"two cases are called {case.title}"
        if " after " in case.title:
            time.sleep(patience_seconds)
        try:
            found[case.title] = json.loads(json.dumps(session.ask(case)))
        except Exception as error:
            raise AssertionError(f"{case.title}: {error!r}") from error
        if case.api in ("CreateTopics", "CreatePartitions", "DeleteTopics"):
            time.sleep(patience_seconds)
    return found


def differences(kafka, ours, path=""):
    """Where two answers differ: paths, with what is there in ours."""
    if isinstance(kafka, dict) and isinstance(ours, dict):
        for name in sorted(kafka.keys() | ours.keys()):
            if name == "ErrorMessage" and kafka.get(name) is None and ours.get("ErrorCode"):
                if "RecordErrors" in ours:
                    continue  # Kafka says nothing to a producer, we say what is wrong.
            yield from differences(kafka.get(name), ours.get(name), f"{path}.{name}")
    elif _are_named(kafka) and _are_named(ours):
        by_name = ({row["Name"]: row for row in rows} for rows in (kafka, ours))
        yield from differences(*by_name, path)
    elif isinstance(kafka, list) and isinstance(ours, list) and len(kafka) == len(ours):
        for index, (theirs, mine) in enumerate(zip(kafka, ours)):
            yield from differences(theirs, mine, f"{path}[{index}]")
    elif isinstance(kafka, list) and isinstance(ours, list):
        yield f"{path}: missing", [row for row in kafka if row not in ours]
        yield f"{path}: added", [row for row in ours if row not in kafka]
    elif kafka != ours:
        yield path, ours


def _are_named(rows):
    """Whether each row has a name that no other has."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return False
    names = [row.get("Name") for row in rows]
    return bool(names) and None not in names and len(set(names)) == len(names)


def all_differences(recorded, found):
    """Titles of answers that differ, with their differences."""
    pairs = ((title, dict(differences(recorded[title], found[title]))) for title in found)
    return {title: differs for title, differs in pairs if differs}


def write(path, found):
    """One case a line, so that a change can be read."""
    rows = [f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in found.items()]
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n")


def without_elr(bootstrap):
    """Turns a feature off that a new Kafka has and Ottla does not: it keeps a config of its own."""
    client = wire.Client(bootstrap)
    feature = {"Feature": "eligible.leader.replicas.version", "MaxVersionLevel": 0, "UpgradeType": 2}
    client.call("UpdateFeatures", 2, {"FeatureUpdates": [feature]})
    config = {"Name": "min.insync.replicas", "ConfigOperation": parity_cases.DELETE, "Value": None}
    resource = {"ResourceType": parity_cases.BROKER, "ResourceName": "", "Configs": [config]}
    client.call("IncrementalAlterConfigs", 1, {"Resources": [resource]})


if __name__ == "__main__":
    command, address = sys.argv[1:]
    assert command in ("record", "compare"), __doc__
    if command == "record":
        without_elr(address)
        write(RECORDED, answers(address, patience_seconds=0.5))
    else:
        differing = all_differences(json.loads(RECORDED.read_text()), answers(address))
        for title, differs in differing.items():
            print(f"{json.dumps(title)}: {json.dumps({'why': '', 'differs': differs})},")
