"""Kafka's own command-line tools against our broker, and our binary under their names: the same
script with each, and the same columns.
"""

import json
import os
import pathlib
import re
import subprocess

import pytest
from broker import BINARY, running
from clients import java

TOOLS = "org.apache.kafka.tools."
CLASSES = {
    "kafka-topics": TOOLS + "TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-producer": TOOLS + "ConsoleProducer",
    "kafka-console-consumer": TOOLS + "consumer.ConsoleConsumer",
    "kafka-consumer-groups": TOOLS + "consumer.group.ConsumerGroupCommand",
    "kafka-groups": TOOLS + "GroupsCommand",
    "kafka-get-offsets": TOOLS + "GetOffsetShell",
    "kafka-delete-records": TOOLS + "DeleteRecordsCommand",
    "kafka-log-dirs": TOOLS + "LogDirsCommand",
    "kafka-broker-api-versions": TOOLS + "BrokerApiVersionsCommand",
    "kafka-cluster": TOOLS + "ClusterTool",
    "kafka-producer-perf-test": TOOLS + "ProducerPerformance",
    "kafka-consumer-perf-test": TOOLS + "ConsumerPerformance",
    "kafka-e2e-latency": TOOLS + "EndToEndLatency",
    "kafka-leader-election": TOOLS + "LeaderElectionCommand",
}

# A step: tool, arguments, input, and how what it prints is compared.
EXACTLY, SORTED, SHAPE, JSON, NOTHING = "exactly", "sorted", "shape", "json", "nothing"
#: The first line that is not empty.
HEADINGS = "headings"


def script(directory):
    """What somebody does in a day. T is the topic, G the group."""
    offsets = directory / "offsets.json"
    offsets.write_text(
        json.dumps(
            {
                "partitions": [
                    {"topic": "T", "partition": 0, "offset": 1},
                    {"topic": "T", "partition": 1, "offset": 1},
                ],
                "version": 1,
            }
        )
    )
    keyed = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"]
    printed = ["--formatter-property", "print.key=true", "--formatter-property", "print.offset=true"]
    headed = ["--reader-property", "parse.headers=true", "--reader-property", "null.marker=NIL"]
    all_printed = [
        word
        for name in ["timestamp", "partition", "offset", "delivery", "headers", "key"]
        for word in ["--formatter-property", f"print.{name}=true"]
    ]
    group = ["--group", "G"]
    topic = ["--topic", "T"]
    return [
        ("kafka-topics", ["--create", *topic, "--partitions", "1", "--config", "retention.ms=3600000"], "", EXACTLY),
        ("kafka-topics", ["--describe", *topic], "", EXACTLY),
        ("kafka-configs", ["--alter", *topic, "--add-config", "retention.ms=7200000,max.message.bytes=2000000"], "", EXACTLY),
        ("kafka-configs", ["--describe", *topic], "", EXACTLY),
        ("kafka-console-producer", [*topic, *keyed], "a:1\nb:2\nc:3\n", EXACTLY),
        ("kafka-console-consumer", [*topic, *group, "--from-beginning", "--max-messages", "3", *printed], "", EXACTLY),
        ("kafka-consumer-groups", ["--describe", *group], "", EXACTLY),
        ("kafka-console-producer", [*topic, *keyed, *headed], "h:1,g:NIL\td:4\nNIL\te:NIL\n", EXACTLY),
        ("kafka-console-consumer", [*topic, "--partition", "0", "--offset", "3", "--max-messages", "2", *all_printed], "", SHAPE),
        ("kafka-consumer-groups", ["--describe", *group, "--offsets", "--verbose"], "", HEADINGS),
        ("kafka-consumer-groups", ["--describe", *group, "--members", "--verbose"], "", EXACTLY),
        ("kafka-consumer-groups", ["--describe", *group, "--state"], "", SHAPE),
        ("kafka-consumer-groups", ["--describe", *group, "--state", "--verbose"], "", SHAPE),
        ("kafka-consumer-groups", ["--list", "--state", "--type"], "", SORTED),
        ("kafka-consumer-groups", ["--list", "--state", "empty"], "", SORTED),
        ("kafka-consumer-groups", ["--reset-offsets", *group, *topic, "--to-earliest", "--export", "--dry-run"], "", EXACTLY),
        ("kafka-consumer-groups", ["--reset-offsets", *group, *topic, "--shift-by", "-2", "--execute"], "", EXACTLY),
        ("kafka-consumer-groups", ["--delete-offsets", *group, *topic], "", EXACTLY),
        ("kafka-groups", ["--list"], "", SORTED),
        ("kafka-consumer-groups", ["--delete", *group], "", EXACTLY),
        ("kafka-topics", ["--alter", *topic, "--partitions", "2"], "", EXACTLY),
        ("kafka-topics", ["--describe", *topic, "--topics-with-overrides"], "", EXACTLY),
        ("kafka-topics", ["--describe", *topic, "--under-min-isr-partitions"], "", EXACTLY),
        ("kafka-topics", ["--describe", *topic, "--at-min-isr-partitions"], "", EXACTLY),
        ("kafka-topics", ["--describe", *topic, "--exclude-internal"], "", EXACTLY),
        ("kafka-leader-election", ["--election-type", "preferred", *topic, "--partition", "1"], "", EXACTLY),
        ("kafka-leader-election", ["--election-type", "unclean", "--all-topic-partitions"], "", EXACTLY),
        ("kafka-producer-perf-test", [*topic, "--num-records", "2000", "--record-size", "100", "--throughput", "-1"], "", SHAPE),
        ("kafka-consumer-perf-test", [*topic, "--num-records", "1000", *group], "", SHAPE),
        ("kafka-e2e-latency", [*topic, "--num-records", "20", "--producer-acks", "all", "--record-size", "50"], "", SHAPE),
        ("kafka-delete-records", ["--offset-json-file", str(offsets)], "", SORTED),
        ("kafka-get-offsets", [*topic, "--time", "-2"], "", EXACTLY),
        ("kafka-get-offsets", ["--topic-partitions", "T:1-", "--time", "earliest"], "", EXACTLY),
        ("kafka-log-dirs", ["--describe", "--topic-list", "T"], "", JSON),
        ("kafka-broker-api-versions", [], "", NOTHING),
        ("kafka-cluster", ["cluster-id"], "", EXACTLY),
        ("kafka-cluster", ["list-endpoints"], "", EXACTLY),
        ("kafka-topics", ["--delete", *topic], "", EXACTLY),
        ("kafka-topics", ["--list", *topic], "", EXACTLY),
    ]


class Actor:
    """Runs the steps of the script with names of its own, as long as the others' names: columns are as
    wide as what is in them."""

    def __init__(self, broker, name, command):
        self.broker = broker
        self.topic, self.group = f"day-of-{name}", f"readers-of-{name}"
        self.command = command

    def run(self, tool, arguments, text):
        names = {"T": self.topic, "T:1-": f"{self.topic}:1-", "G": self.group}
        words = [names.get(word, word) for word in arguments]
        if tool == "kafka-delete-records":
            path = pathlib.Path(words[1])
            own = path.with_name(f"{self.topic}.json")
            own.write_text(path.read_text().replace('"T"', f'"{self.topic}"'))
            words[1] = str(own)
        server = ["--bootstrap-server", self.broker.bootstrap]
        # Subcommands stand before the flags.
        words = [*words, *server] if tool == "kafka-cluster" else [*server, *words]
        done = subprocess.run(
            [*self.command(tool), *words], input=text, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{tool} {words}: {done.stdout}{done.stderr}"
        return self.plain(done.stdout)

    def plain(self, text):
        """Without the names, which differ as they must."""
        text = text.replace(self.topic, "TOPIC").replace(self.group, "GROUP")
        text = re.sub(r"TopicId: [\w-]{22}", "TopicId: ID", text)
        # In Kafka's tool they stand in the order of a hash table.
        return re.sub(r"(?<=Configs: )\S+", lambda found: ",".join(sorted(found[0].split(","))), text)


def shape(text):
    """With every number replaced."""
    return re.sub(r"-?\d+(\.\d+)?(E-?\d+)?", "N", text)


def comparable(text, how):
    if how == EXACTLY:
        return text
    if how == SORTED:
        # Other actors' groups are listed, too.
        return sorted(line for line in text.splitlines() if "-of-" not in line)
    if how == HEADINGS:
        return text.split("\n\n")[0].strip("\n").splitlines()[0]
    if how == SHAPE:
        return [re.sub(r" +", " ", line) for line in shape(text).splitlines()]
    if how == JSON:
        lines = text.splitlines()
        found = json.loads(lines[-1])
        for broker in found["brokers"]:
            for directory in broker["logDirs"]:
                directory["partitions"].sort(key=lambda part: part["partition"])
                for part in directory["partitions"]:
                    part["size"] = part["size"] > 0
        return lines[:-1], found
    return None


@pytest.fixture
def actors(broker, tmp_path):
    """Kafka's tools and ours."""
    for tool in CLASSES:
        os.symlink(BINARY, tmp_path / f"{tool}.sh")
    return (
        Actor(broker, "kafka", lambda tool: java.tool(CLASSES[tool])),
        Actor(broker, "ottla", lambda tool: [tmp_path / f"{tool}.sh"]),
    )


def test_the_same_script_prints_the_same_columns(actors, tmp_path, figure):
    theirs, ours = actors
    differences = []
    for tool, arguments, text, how in script(tmp_path):
        expected = theirs.run(tool, arguments, text)
        found = ours.run(tool, arguments, text)
        call = f"{tool} {' '.join(arguments)}".replace(str(tmp_path), "")
        is_same = comparable(found, how) == comparable(expected, how)
        if not is_same:
            differences.append(f"{call}:\n--- Kafka's\n{expected}\n--- ours\n{found}")
        compared = how if how != NOTHING else "runs"
        figure(f"tool: {call}: {compared if is_same else 'DIFFERS'}")
    assert not differences, "\n".join(differences)


def test_other_tools_of_kafka_work_with_our_broker(broker, topic, figure):
    server = ["--bootstrap-server", broker.bootstrap, "--topic", topic]
    written = java.run(TOOLS + "VerifiableProducer", *server, "--max-messages", "5")
    events = [json.loads(line) for line in written.splitlines()]
    assert events[-1]["acked"] == 5, written
    read = java.run(TOOLS + "VerifiableConsumer", *server, "--group-id", topic, "--max-messages", "5")
    names = [json.loads(line)["name"] for line in read.splitlines()]
    assert {"partitions_assigned", "records_consumed", "offsets_committed"} <= set(names), read
    status = java.run(TOOLS + "MetadataQuorumCommand", *server[:2], "describe", "--status")
    assert re.search(r"LeaderId: +1\n", status), status
    levels = java.run(TOOLS + "FeatureCommand", *server[:2], "describe")
    assert "Feature: metadata.version" in levels, levels
    supported = [
        "offsets-for-times", "cluster-id", "create-topics", "describe-configs", "idempotent-producer",
    ]  # fmt: skip
    flags = [word for name in supported for word in (f"--{name}-supported", "true")]
    new = f"{topic}-new"
    make = [BINARY, "topic", "create", new, "-p", "1", "-b", broker.bootstrap]
    subprocess.run(make, check=True)
    java.run(
        TOOLS + "ClientCompatibilityTest", *server[:2], "--topic", new, *flags,
        "--num-cluster-nodes", "1",
        "--describe-acls-supported", "false", "--expect-record-too-large-exception", "false",
    )  # fmt: skip
    for tool in [
        "VerifiableProducer", "VerifiableConsumer", "MetadataQuorumCommand", "FeatureCommand",
        "ClientCompatibilityTest",
    ]:  # fmt: skip
        figure(f"tool: {tool}: works")


def test_kafka_reads_our_segment_files(tmp_path, figure):
    with running(directory=tmp_path) as own:
        subprocess.run(
            [BINARY, "produce", "dumped", "-z", "lz4", "-b", own.bootstrap],
            input="".join(f"{number}\n" for number in range(100)), text=True, check=True,
        )  # fmt: skip
        own.stop()
    segment = tmp_path / "data" / "dumped-0" / f"{0:020}.log"
    dumped = java.run(TOOLS + "DumpLogSegments", "--files", segment, "--print-data-log")
    payloads = re.findall(r"payload: (\d+)", dumped)
    assert payloads == [str(number) for number in range(100)], dumped
    assert "isvalid: true" in dumped and "isvalid: false" not in dumped, dumped
    figure("tool: DumpLogSegments: works")
