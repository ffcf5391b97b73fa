"""Members of every make in one group: who leads it assigns for all, so all must understand each other.

Against another cluster, Apache Kafka for example:
    OTTLA_INTEROP_BOOTSTRAP=localhost:9092 python -m pytest test_mixed_groups.py
"""

import json
import os
import subprocess
import threading
import time

import confluent_kafka
import pytest

import topics
from broker import BINARY
from clients import java

PARTITIONS = 12
PATIENCE_SECONDS = 60
STRATEGIES = {
    "range": "org.apache.kafka.clients.consumer.RangeAssignor",
    "roundrobin": "org.apache.kafka.clients.consumer.RoundRobinAssignor",
    "sticky": "org.apache.kafka.clients.consumer.StickyAssignor",
    "cooperative-sticky": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
}


class Process:
    """A member that prints a line for each record."""

    def __init__(self, command):
        self.values = set()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.values.add(line.strip().decode())

    def kill(self):
        self.process.kill()
        self.process.wait()


class Ottla(Process):
    def __init__(self, bootstrap, group, topic, assignor):
        settings = {
            "partition.assignment.strategy": assignor,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
        }
        properties = [text for key, value in settings.items() for text in ("-X", f"{key}={value}")]
        super().__init__(
            [BINARY, "consume", topic, "-b", bootstrap, "-g", group, "-f", "%v\\n", *properties]
        )


class Java(Process):
    def __init__(self, bootstrap, group, topic, assignor):
        settings = {
            "group.protocol": "classic",
            "partition.assignment.strategy": STRATEGIES[assignor],
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "auto.offset.reset": "earliest",
        }
        properties = [t for k, v in settings.items() for t in ("--command-property", f"{k}={v}")]
        super().__init__(
            java.tool(
                "consumer.ConsoleConsumer",
                "--bootstrap-server", bootstrap,
                "--topic", topic,
                "--group", group,
                *properties,
            )  # fmt: skip
        )


class Librdkafka:
    def __init__(self, bootstrap, group, topic, assignor):
        self.values = set()
        self._stopped = False
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "partition.assignment.strategy": assignor,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 500,
                "auto.offset.reset": "earliest",
            }
        )
        self._consumer.subscribe([topic])
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._stopped:
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None:
                self.values.add(message.value().decode())

    def kill(self):
        self._stopped = True
        self._thread.join()
        self._consumer.close()


@pytest.fixture
def bootstrap(request):
    elsewhere = os.environ.get("OTTLA_INTEROP_BOOTSTRAP")
    return elsewhere or request.getfixturevalue("broker").bootstrap


def describe(bootstrap, group):
    """The group as `ottla group describe` has it, or None while there is none."""
    done = subprocess.run(
        [BINARY, "group", "describe", group, "-b", bootstrap, "--format", "json"],
        capture_output=True,
        timeout=60,
    )
    groups = json.loads(done.stdout)["groups"] if done.returncode == 0 else []
    return groups[0] if groups else None


def wait_for_members(bootstrap, group, count):
    """Waits until so many members share all partitions evenly."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = describe(bootstrap, group)
        if found and found["state"] == "Stable":
            shares = [
                {(p["topic"], p["partition"]) for p in member["partitions"]}
                for member in found["members"]
            ]
            sizes = sorted(len(share) for share in shares)
            whole = len(set().union(*shares)) == PARTITIONS == sum(sizes)
            if len(shares) == count and whole and sizes[-1] - sizes[0] <= 1:
                return
        assert time.monotonic() < deadline, f"{count} members do not share {group}: {found}"
        time.sleep(0.2)


def produce(bootstrap, topic, numbers):
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for number in numbers:
        producer.produce(topic, str(number), partition=number % PARTITIONS)
        producer.poll(0)
    assert producer.flush(60) == 0


def wait_for_values(members, numbers):
    expected = {str(number) for number in numbers}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not expected <= set().union(*(member.values for member in members)):
        missing = expected - set().union(*(member.values for member in members))
        assert time.monotonic() < deadline, f"{len(missing)} records were read by nobody"
        time.sleep(0.1)


# Who comes first leads the group. librdkafka has no assignor of the name "sticky".
MIXES = [
    ("range", (Ottla, Java, Librdkafka)),
    ("roundrobin", (Java, Librdkafka, Ottla)),
    ("sticky", (Ottla, Java)),
    ("sticky", (Java, Ottla)),
    ("cooperative-sticky", (Ottla, Librdkafka, Java)),
    ("cooperative-sticky", (Java, Ottla, Librdkafka)),
    ("cooperative-sticky", (Librdkafka, Ottla, Java)),
]


@pytest.mark.parametrize(
    "assignor,makes",
    MIXES,
    ids=lambda v: v if isinstance(v, str) else "-".join(make.__name__ for make in v),
)
def test_members_of_every_make_share_a_topic(bootstrap, topic, assignor, makes, figure):
    topic = f"mixed-{os.getpid()}-{topic}"
    group = f"group-of-{topic}"
    topics.create(bootstrap, topic, PARTITIONS)
    members = []
    try:
        started = time.monotonic()
        for make in makes:
            members.append(make(bootstrap, group, topic, assignor))
            wait_for_members(bootstrap, group, len(members))
        figure(f"{assignor}: {len(makes)} members share after {time.monotonic() - started:.1f} s")
        produce(bootstrap, topic, range(6_000))
        wait_for_values(members, range(6_000))
        # The leader goes; what it had is read by the others, from where it had committed.
        members[0].kill()
        produce(bootstrap, topic, range(6_000, 12_000))
        wait_for_members(bootstrap, group, len(members) - 1)
        wait_for_values(members, range(12_000))
    finally:
        for member in members:
            member.kill()
