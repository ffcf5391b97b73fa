"""Logs that move between the log directories of a broker, by Kafka's tools and under load."""

import json
import random
import re
import threading
import time

import confluent_kafka
import pytest
import test_compaction
import topics
import wire
from clients import java
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from test_log_dirs import ACKS_ALL, broker_on, consume, found_in, paths, produce

RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
RECORD = b"x" * 1000


def wish(broker, directory, topic="t", partitions=(0,)):
    """AlterReplicaLogDirs by hand; returns the error codes."""
    client = wire.Client(broker.bootstrap)
    topic = {"Name": topic, "Partitions": list(partitions)}
    answer = client.call("AlterReplicaLogDirs", 2, {"Dirs": [{"Path": str(directory), "Topics": [topic]}]})
    client.close()
    return [p["ErrorCode"] for t in answer["Results"] for p in t["Partitions"]]


def limit(broker, bytes_per_second):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    entry = ConfigEntry(RATE, str(bytes_per_second), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(20)


def described(broker, topic="t"):
    """What Kafka's tool says: {directory: {partition: (is it a future log, offset lag)}}."""
    server = ["--bootstrap-server", broker.bootstrap, "--describe", "--topic-list", topic]
    answer = java.run("LogDirsCommand", *server)
    report = json.loads(next(line for line in answer.splitlines() if line.startswith("{")))
    return {
        d["logDir"]: {p["partition"]: (p["isFuture"], p["offsetLag"]) for p in d["partitions"]}
        for d in report["brokers"][0]["logDirs"]
    }


def home(broker, topic="t", partition=0):
    """The directory of a partition, and whether it is on its way to another one."""
    client = wire.Client(broker.bootstrap)
    answer = client.call("DescribeLogDirs", 4, {"Topics": [{"Topic": topic, "Partitions": [partition]}]})
    client.close()
    found = {"future": None, "current": None}
    for directory in answer["Results"]:
        for p in (p for t in directory["Topics"] for p in t["Partitions"]):
            found["future" if p["IsFutureKey"] else "current"] = directory["LogDir"]
    return found


def wait_until_moved(broker, directory, seconds=60):
    deadline = time.monotonic() + seconds
    expected = {"current": str(directory), "future": None}
    while (found := home(broker)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_kafkas_tools_move_a_log(tmp_path):
    directories = paths(tmp_path)
    broker = broker_on(tmp_path, directories).start()
    topics.create(broker.bootstrap, "t", 1)
    source = home(broker)["current"]
    target = next(str(path) for path in directories if str(path) != source)
    payload = [f"{number:06}".encode() + RECORD for number in range(4000)]
    client = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, **ACKS_ALL, "linger.ms": 5})
    for value in payload:
        client.produce("t", value, partition=0)
    assert client.flush(60) == 0

    plan = {"topic": "t", "partition": 0, "replicas": [1], "log_dirs": [target]}
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"version": 1, "partitions": [plan]}))
    command = ["reassign.ReassignPartitionsCommand", "--bootstrap-server", broker.bootstrap]
    command += ["--reassignment-json-file", file]
    throttle = ["--replica-alter-log-dirs-throttle", "100000"]
    said = java.run(*command, "--execute", *throttle)
    assert f"Successfully started moving log directory to {target} for replica t-0 with broker 1" in said, said
    said = java.run(*command, "--verify", "--preserve-throttles")
    assert re.search(r"Reassignment of replica t-0-1 is still in progress", said), said
    report = described(broker)
    assert report[source] == {"t-0": (False, 0)}
    ((is_future, lag),) = report[target].values()
    assert is_future and 0 < lag < len(payload), report

    said = java.run(*command, "--execute", "--additional", "--replica-alter-log-dirs-throttle", "1000000000")
    wait_until_moved(broker, target)
    said = java.run(*command, "--verify")
    assert "Reassignment of replica t-0-1 completed successfully." in said, said
    assert described(broker) == {source: {}, target: {"t-0": (False, 0)}}
    assert consume(broker.bootstrap, "t", 0) == payload
    assert broker.stop() == 0
    assert [found_in(path, "t") for path in map(type(tmp_path), (source, target))] == [[], [0]]
    broker.start()
    assert consume(broker.bootstrap, "t", 0) == payload
    assert wish(broker, tmp_path / "elsewhere") == [57], "LOG_DIR_NOT_FOUND"
    broker.kill()


class Load(threading.Thread):
    """One idempotent producer, whatever happens to the broker."""

    def __init__(self, broker):
        super().__init__()
        self.client = confluent_kafka.Producer(
            {"bootstrap.servers": broker.bootstrap, "message.timeout.ms": 120_000, **ACKS_ALL, "linger.ms": 2}
        )
        self.acknowledged, self.errors, self.sent = [], [], 0
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.is_set():
            for _ in range(20):
                value = f"{self.sent:08}".encode() + RECORD
                self.client.produce("t", value, partition=0, on_delivery=self.delivered)
                self.sent += 1
            self.client.poll(0.01)
            while len(self.client) > 2000 and not self.is_over.is_set():
                self.client.poll(0.05)

    def delivered(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.acknowledged.append((message.offset(), int(message.value()[:8])))

    def end(self):
        self.is_over.set()
        self.join()
        assert self.client.flush(120) == 0


class Reading(threading.Thread):
    """A consumer from the beginning on."""

    def __init__(self, broker):
        super().__init__()
        self.seen = []
        self.is_over = threading.Event()
        self.client = confluent_kafka.Consumer(
            {"bootstrap.servers": broker.bootstrap, "group.id": "reading", "enable.auto.commit": False,
             "log_level": 0}
        )  # fmt: skip
        self.client.assign([confluent_kafka.TopicPartition("t", 0, 0)])

    def run(self):
        while not self.is_over.is_set():
            for message in self.client.consume(500, timeout=0.1):
                if not message.error():
                    self.seen.append((message.offset(), int(message.value()[:8])))

    def end(self, count):
        deadline = time.monotonic() + 60
        while len(self.seen) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        self.is_over.set()
        self.join()
        self.client.close()


@pytest.mark.parametrize(
    ("seed", "environment"),
    [(1, {}), (2, {}), (3, test_compaction.POWER_CUT_DISK), (4, {"OTTLA_TEST_POWER_CUT_DISK": "7"})],
    ids=["kill-1", "kill-2", "power-cut-3", "power-cut-4"],
)
def test_an_end_in_the_middle_of_a_move_under_load_loses_nothing_and_doubles_nothing(tmp_path, seed, environment):
    dice = random.Random(seed)
    directories = paths(tmp_path)
    broker = broker_on(tmp_path, directories, environment=environment).start()
    topics.create(broker.bootstrap, "t", 1)
    load, reading = Load(broker), Reading(broker)
    load.start()
    reading.start()
    in_the_middle = 0
    for number in range(6):
        at = home(broker)["current"]
        target = next(path for path in directories if str(path) != at)
        # Every other one would take seconds.
        limit(broker, dice.choice([20_000_000, 1_000_000_000]) if number % 2 else 50_000)
        time.sleep(dice.uniform(0.3, 0.8))
        assert wish(broker, target) == [0]
        time.sleep(dice.choice([0, 0.005, 0.05, 0.3]))
        broker.kill()
        broker.start()
        in_the_middle += home(broker) != {"current": str(target), "future": None}
        limit(broker, 1_000_000_000)
        wait_until_moved(broker, target)
    load.end()
    reading.end(load.sent)
    broker.kill()
    assert not load.errors
    numbers = list(range(load.sent))
    assert sorted(load.acknowledged) == list(zip(numbers, numbers, strict=True)), "contiguous, in order, once"
    assert reading.seen == list(zip(numbers, numbers, strict=True))
    assert in_the_middle, "no move was interrupted"


def test_a_compacted_log_keeps_its_gaps(tmp_path):
    directories = paths(tmp_path)
    broker = broker_on(tmp_path, directories)
    broker.settings |= test_compaction.SETTINGS
    broker.start()
    topics.create(broker.bootstrap, "t", 1, **test_compaction.CONFIG)
    expected = test_compaction.overwrite(broker.bootstrap, "t", 30, "before")
    written = sum(topics.ends(broker.bootstrap, "t", 1))
    read = lambda: test_compaction.read_all(broker.bootstrap, "t")  # noqa: E731
    test_compaction.wait_until(lambda: len(read()) < written / 2, "nothing is compacted")
    before = read()
    for _ in range(2):
        at = home(broker)["current"]
        target = next(path for path in directories if str(path) != at)
        assert wish(broker, target) == [0]
        wait_until_moved(broker, target)
        after = read()
        assert test_compaction.last_values(after) == expected
        assert set(after) <= set(before), "no record came anew or changed its offset"
        assert topics.ends(broker.bootstrap, "t", 1) == [written]
        broker.kill()
        broker.start()
        assert test_compaction.last_values(read()) == expected
    expected = test_compaction.overwrite(broker.bootstrap, "t", 30, "after")
    test_compaction.wait_until(lambda: len(read()) < written / 2, "nothing is compacted any more")
    assert test_compaction.last_values(read()) == expected
    broker.kill()


def test_groups_and_all_of_a_topic_move_while_they_are_used(tmp_path):
    directories = paths(tmp_path, "abc")
    broker = broker_on(tmp_path, directories).start()
    topics.create(broker.bootstrap, "t", 6)
    acknowledged, errors = produce(broker.bootstrap, "t", range(6), 50)
    assert not errors
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "g", "auto.offset.reset": "earliest",
         "enable.auto.commit": False}
    )  # fmt: skip
    consumer.subscribe(["t"])
    seen = 0
    deadline = time.monotonic() + 60
    moves = iter([directories[2], directories[0], directories[1]])
    while seen < 300 and time.monotonic() < deadline:
        messages = [m for m in consumer.consume(50, timeout=0.5) if not m.error()]
        seen += len(messages)
        if messages:
            if (target := next(moves, None)) is not None:
                assert wish(broker, target, "__consumer_offsets", range(50)) == [0] * 50
                assert wish(broker, target, "t", range(6)) == [0] * 6
            consumer.commit(asynchronous=False)
    assert seen == 300
    places = [confluent_kafka.TopicPartition("t", p) for p in range(6)]
    assert [p.offset for p in consumer.committed(places, timeout=20)] == [50] * 6
    consumer.close()
    broker.kill()
    broker.start()
    for partition in range(6):
        assert consume(broker.bootstrap, "t", partition) == acknowledged[partition]
    broker.kill()
