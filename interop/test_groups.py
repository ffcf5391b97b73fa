"""Consumer groups with the clients people use: members die, brokers lose power, nothing is skipped."""

import itertools
import os
import subprocess
import threading
import time

import confluent_kafka
import pytest

import broker as broker_module
import compatibility
import topics
from clients import java, kafka_python
from group_member import Member

PARTITIONS = 6
POWER_CUTS = int(os.environ.get("OTTLA_GROUP_POWER_CUTS", 3))
POWER_CUT_DISK = {"OTTLA_TEST_POWER_CUT_DISK": "1"}
PATIENCE_SECONDS = 90
MIXES = {
    "librdkafka, kafka-python, java": ["librdkafka", "kafka_python", "java"],
    "librdkafka, franz-go, aiokafka": ["librdkafka", "franz_go", "aiokafka"],
    "three kafkajs": ["kafkajs", "kafkajs", "kafkajs"],
}


class Writer(threading.Thread):
    """Writes small records to every partition until it is told to stop; retries for ever."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.topic = topic
        self.enough = threading.Event()
        self.failures = []
        self.acknowledged = 0
        self.producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "reconnect.backoff.max.ms": 100,
                "log_level": 2,
            }
        )
        self.start()

    def delivered(self, error, _message):
        if error is None:
            self.acknowledged += 1
        else:
            self.failures.append(str(error))

    def run(self):
        for number in itertools.count():
            if self.enough.is_set():
                break
            self.producer.produce(
                self.topic, str(number), partition=number % PARTITIONS, on_delivery=self.delivered
            )
            self.producer.poll(0.003)
        while self.producer.flush(1):
            pass

    def stop(self):
        self.enough.set()
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive() and not self.failures, self.failures[:3]


def wait_until(is_so, what, members, broker):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if deadline < time.monotonic():
            words = "\n".join(member.last_words() for member in members)
            raise AssertionError(f"{what}: never\n{words}\n{broker.log_tail()}")
        time.sleep(0.05)


def everybody_reads_all(members, broker, what):
    """Each partition is read from, by one member each, and each member has something to do."""
    since = time.monotonic_ns()

    def is_shared():
        read = [member.read_since(since) for member in members]
        return all(read) and set().union(*read) == set(range(PARTITIONS))

    wait_until(is_shared, what, members, broker)


def judge(members, ends):
    """No record skipped; what was read again is above the last commit that was acknowledged before."""
    said = sorted(
        (at, number, word, numbers)
        for number, member in enumerate(members)
        for at, word, numbers in member.said
    )
    read = [set() for _ in ends]
    committed = [0] * len(ends)
    began_at = {}  # What was committed when the member was given the partition.
    again = 0
    for _, number, word, numbers in said:
        if word == "assigned":
            for partition in numbers:
                began_at[number, partition] = committed[partition]
        elif word == "committed":
            partition, offset = numbers
            committed[partition] = max(committed[partition], offset)
        elif word == "read":
            partition, offset = numbers
            if offset in read[partition]:
                again += 1
                floor = began_at.get((number, partition), 0)
                assert floor <= offset, f"{partition}@{offset} again, {floor} was committed"
            read[partition].add(offset)
    for partition, end in enumerate(ends):
        missing = set(range(end)) - read[partition]
        assert not missing, f"partition {partition}: {len(missing)} of {end} skipped"
    assert all(committed) or any(member.kind == "java" for member in members)
    return again


class Heard:
    """What a member may have said."""

    kind = "librdkafka"

    def __init__(self, *said):
        self.said = said


def test_the_judge_sees_what_is_skipped_and_what_is_read_again_below_a_commit():
    def reads(at, *offsets):
        return [(at, "read", [0, offset]) for offset in offsets]

    gone = Heard((1, "assigned", [0]), *reads(2, 0, 1), (3, "committed", [0, 1]))

    def heir(*offsets):
        return Heard((4, "assigned", [0]), *reads(5, *offsets), (6, "committed", [0, 3]))

    assert judge([gone, heir(1, 2)], [3]) == 1
    assert judge([gone, heir(2)], [3]) == 0
    with pytest.raises(AssertionError, match="1 of 4 skipped"):
        judge([gone, heir(3)], [4])
    with pytest.raises(AssertionError, match="0@0 again, 1 was committed"):
        judge([gone, heir(0, 1, 2)], [3])


@pytest.mark.parametrize("kinds", MIXES.values(), ids=MIXES.keys())
def test_groups_survive_members_and_power_cuts(tmp_path, kinds, figure):
    settings = {"group.initial.rebalance.delay.ms": 500}
    broker = broker_module.Broker(tmp_path / "broker", settings, POWER_CUT_DISK).start()
    topics.create(broker.bootstrap, "shared", PARTITIONS)
    writer = Writer(broker.bootstrap, "shared")
    members = []

    def join(kind):
        log = tmp_path / f"member-{len(members)}.log"
        members.append(Member(kind, broker.bootstrap, "shared", "team", log))
        return members[-1]

    try:
        alive = [join(kind) for kind in kinds]
        everybody_reads_all(alive, broker, "three share the topic")
        alive.pop(1).kill()
        started = time.monotonic()
        everybody_reads_all(alive, broker, "two take over from the third")
        takeover = time.monotonic() - started
        alive.append(join(kinds[1]))
        everybody_reads_all(alive, broker, "a third one comes back")
        for _ in range(POWER_CUTS):
            compatibility.collect(broker.metrics())
            broker.kill()
            broker.start()
            everybody_reads_all(alive, broker, "all go on after a power cut")
        writer.stop()
        ends = topics.ends(broker.bootstrap, "shared", PARTITIONS)

        def is_read():
            highest = [0] * PARTITIONS
            for member in members:
                for _, word, numbers in list(member.said):
                    if word == "read":
                        highest[numbers[0]] = max(highest[numbers[0]], numbers[1] + 1)
            return highest == ends

        wait_until(is_read, "the end", alive, broker)
    finally:
        writer.enough.set()
        for member in members:
            if member.process.poll() is None:
                member.kill()
        compatibility.collect(broker.metrics())
        broker.kill()
    again = judge(members, ends)
    figure(
        f"group of {', '.join(kinds)}: {sum(ends)} records, {POWER_CUTS} power cuts, "
        f"{again} read again, a killed member's work taken over in {takeover:.1f} s"
    )


def test_kcat_is_a_member(broker, topic):
    topics.create(broker.bootstrap, topic, 2)
    records = [(b"k%d" % number, b"v%d" % number) for number in range(200)]
    kafka_python.produce(broker.bootstrap, topic, records, "gzip")
    done = subprocess.run(
        ["kcat", "-b", broker.bootstrap, "-G", "cats", "-q", "-X", "auto.offset.reset=earliest",
         "-c", "200", "-f", "%s\n", topic],
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    assert sorted(done.stdout.split()) == sorted(value for _, value in records), done.stderr


def test_kafkas_own_tools_read_groups(broker, topic):
    topics.create(broker.bootstrap, topic, 2)
    records = [(b"k%d" % number, b"v%d" % number) for number in range(100)]
    kafka_python.produce(broker.bootstrap, topic, records, "gzip")
    server = ("--bootstrap-server", broker.bootstrap)
    group = f"group-of-{topic}"
    read = java.run(
        "consumer.ConsoleConsumer", *server, "--topic", topic, "--group", group,
        "--from-beginning", "--max-messages", 100, "--timeout-ms", 30_000,
    )  # fmt: skip
    assert len(read.split()) == 100
    tool = "consumer.group.ConsumerGroupCommand"
    described = java.run(tool, *server, "--describe", "--group", group)
    rows = [line.split() for line in described.splitlines() if topic in line]
    assert sum(int(row[3]) for row in rows) == 100 and all(row[5] == "0" for row in rows), described
    assert group in java.run(tool, *server, "--list").split()
    state = java.run(tool, *server, "--describe", "--group", group, "--state")
    assert "Empty" in state, state
    reset = java.run(
        tool, *server, "--group", group, "--topic", topic, "--reset-offsets", "--to-earliest", "--execute"
    )
    assert "0" in reset, reset
    described = java.run(tool, *server, "--describe", "--group", group)
    rows = [line.split() for line in described.splitlines() if topic in line]
    assert sum(int(row[5]) for row in rows) == 100, described

    # The internal topic, through Kafka's own eyes.
    seen = ""
    for formatter in ["OffsetsMessageFormatter", "GroupMetadataMessageFormatter"]:
        done = subprocess.run(
            java.tool(
                "consumer.ConsoleConsumer", *server, "--topic", "__consumer_offsets",
                "--from-beginning", "--timeout-ms", 6000,
                "--formatter", f"org.apache.kafka.tools.consumer.{formatter}",
            ),
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        seen += done.stdout
    assert f'"group":"{group}","topic":"{topic}"' in seen and '"protocolType":"consumer"' in seen, seen

    deleted = java.run(tool, *server, "--delete", "--group", group)
    assert "successful" in deleted, deleted
    assert group not in java.run(tool, *server, "--list").split()


def test_static_members_come_back_without_a_rebalance(broker, topic):
    """librdkafka with group.instance.id: closed and opened again, the generation stays."""
    topics.create(broker.bootstrap, topic, 2)
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": broker.bootstrap})
    group = f"static-{topic}"

    def member(instance):
        changes = []
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": group,
                "group.instance.id": instance,
                "session.timeout.ms": 30_000,
                "heartbeat.interval.ms": 500,
            }
        )
        consumer.subscribe(
            [topic],
            on_assign=lambda *_: changes.append("assigned"),
            on_revoke=lambda *_: changes.append("revoked"),
        )
        return consumer, changes

    def poll_until(consumers, is_so):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline
            for consumer in consumers:
                consumer.poll(0.05)

    def owned(consumers):
        return sorted(len(consumer.assignment()) for consumer in consumers)

    (a, changes), (b, _) = member("a"), member("b")
    poll_until([a, b], lambda: owned([a, b]) == [1, 1])
    before = list(changes)
    b.close()
    b, came_back = member("b")
    poll_until([a, b], lambda: came_back == ["assigned"])
    assert owned([a, b]) == [1, 1]
    described = admin.describe_consumer_groups([group])[group].result(30)
    assert described.state.name == "STABLE" and len(described.members) == 2, described
    # Two heartbeats later the other member has still not been told to join again.
    deadline = time.monotonic() + 2
    poll_until([a, b], lambda: deadline < time.monotonic())
    assert changes == before and owned([a, b]) == [1, 1]
    a.close()
    b.close()
