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

import parity_cases
import wire

#: What both brokers are started with.
SETTINGS = {"node.id": 1, "num.partitions": 4, "broker.rack": "rack1", "min.insync.replicas": 1}
RECORDED = pathlib.Path(__file__).resolve().parent / "parity-kafka-4.4.json"
OWN = RECORDED.with_name("parity-own.json")
#: What differs from run to run and means nothing here.
UNSTEADY = {
    *("FinalizedFeaturesEpoch", "ProducerId", "Documentation", "TotalBytes", "UsableBytes"),
    *("HighWatermark", "LogEndOffset", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Port"),
    *("LeaderEpoch", "LogAppendTimeMs", "LastTimestamp", "PartitionSize", "ReplicaDirectoryId"),
}


FIRST_ID = {"TransactionalId": None, "TransactionTimeoutMs": 60000, "ProducerId": -1, "ProducerEpoch": -1}
CLOSED = "the connection is closed"
SILENT = "no answer"
#: Requests wait for 5 seconds at most, so nothing comes after this.
PATIENCE_SECONDS = 7


class Session:
    """One broker under comparison."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.client = wire.Client(bootstrap, timeout=PATIENCE_SECONDS)
        self.topic_ids = {}
        described = self.client.call("DescribeLogDirs", 4, {"Topics": []})
        self.log_dir = described["Results"][0]["LogDir"]
        self.cluster = self.client.call("DescribeCluster", 0)["ClusterId"]

    def ask(self, case):
        """The answer in the form in which it is compared."""
        if case.api == "raw":
            return self._ask_raw(*case.request)
        try:
            answer = self.client.call(case.api, case.version, self._resolved(case.request))
        except wire.Closed:
            return CLOSED
        except wire.Silent:
            return SILENT
        if case.api == "CreateTopics" and case.version == 7:
            for topic in answer["Topics"]:
                if topic["TopicId"] != wire.NO_UUID:
                    self.topic_ids[topic["Name"]] = topic["TopicId"]
        return self._steady(answer, case)

    def _ask_raw(self, key, version, is_flexible, body):
        try:
            answer = self.client.exchange(key, version, is_flexible, body).hex()
            port = int(self.bootstrap.rpartition(":")[2])
            return answer.replace(f"{port:08x}", "<port>")
        except wire.Closed:
            return CLOSED
        except wire.Silent:
            return SILENT

    def _resolved(self, value):
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
            return {k: self._steady(v, case, k) for k, v in rows if k not in UNSTEADY}
        if isinstance(value, list):
            items = [self._steady(inner, case, name) for inner in value if not _is_ours(inner)]
            is_set = name not in ("Synonyms", "ReplicaNodes", "IsrNodes", "RecordErrors")
            key = lambda item: json.dumps(item, sort_keys=True)
            return sorted(items, key=key) if is_set else items
        if isinstance(value, bytes):
            return f"{len(value)} bytes" if name != "Records" else _read_batches(value)
        if isinstance(value, str):
            return self._steady_text(value)
        if name == "SessionId" and value:
            return "<session>"
        return "<time>" if name == "Timestamp" and value > 1 << 40 else value

    def _steady_text(self, text):
        for topic, topic_id in self.topic_ids.items():
            text = text.replace(topic_id, f"<id of {topic}>")
        text = text.replace(self.log_dir, "<log directory>").replace(self.cluster, "<cluster>")
        text = re.sub(r"\b1[67]\d{11}\b|-92233702\d{11}\b", "<time>", text)
        text = re.sub(r"127\.0\.0\.1:\d{4,5}", "<address>", text)
        if re.fullmatch(r"[A-Za-z0-9_-]{22}", text):
            return "<id>"
        return text


def _is_ours(row):
    """A config that Kafka does not have."""
    return isinstance(row, dict) and str(row.get("Name", "")).startswith("ottla.")


def _read_batches(data):
    """How many batches there are and where the first one begins."""
    count, at, first = 0, 0, None
    while at + 12 <= len(data):
        first = int.from_bytes(data[at : at + 8], "big") if first is None else first
        at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        count += at <= len(data)
    return f"{count} batches from {first}"


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
