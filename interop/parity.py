"""Asks a broker everything in `parity_cases.py` and keeps its answers.

    python parity.py record HOST:PORT     writes parity-kafka-4.4.json from a running Apache Kafka 4.4

The Kafka must be a fresh single node with node.id=1, broker.rack=rack1 and num.partitions=4.
"""

import json
import pathlib
import re
import sys
import time

import parity_cases
import wire

RECORDED = pathlib.Path(__file__).resolve().parent / "parity-kafka-4.4.json"
OWN = RECORDED.with_name("parity-own.json")
#: What differs from run to run and means nothing here.
UNSTEADY = {
    *("FinalizedFeaturesEpoch", "ProducerId", "Documentation", "TotalBytes", "UsableBytes"),
    *("HighWatermark", "LogEndOffset", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Port"),
    *("LeaderEpoch", "LogAppendTimeMs", "LastTimestamp", "PartitionSize", "ReplicaDirectoryId"),
}


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
            return self.client.exchange(key, version, is_flexible, body).hex()
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
            items = [self._steady(inner, case, name) for inner in value]
            is_set = name not in ("Synonyms", "ReplicaNodes", "IsrNodes", "RecordErrors")
            key = lambda item: json.dumps(item, sort_keys=True)
            return sorted(items, key=key) if is_set else items
        if isinstance(value, bytes):
            return f"{len(value)} bytes" if name != "Records" else _read_batches(value)
        if isinstance(value, str):
            return self._steady_text(value)
        return value

    def _steady_text(self, text):
        for topic, topic_id in self.topic_ids.items():
            text = text.replace(topic_id, f"<id of {topic}>")
        text = text.replace(self.log_dir, "<log directory>").replace(self.cluster, "<cluster>")
        text = re.sub(r"\b1[67]\d{11}\b", "<time>", text)
        if re.fullmatch(r"[A-Za-z0-9_-]{22}", text):
            return "<id>"
        return text


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
    found = {}
    for case in parity_cases.cases():
        assert case.title not in found, f"two cases are called {case.title}"
        if " after " in case.title:
            time.sleep(patience_seconds)
        try:
            found[case.title] = session.ask(case)
        except Exception as error:
            raise AssertionError(f"{case.title}: {error!r}") from error
    return found


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
    assert command == "record", __doc__
    without_elr(address)
    write(RECORDED, answers(address, patience_seconds=0.3))
