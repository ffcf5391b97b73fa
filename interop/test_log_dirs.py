"""Several log directories: partitions are spread, and a directory that fails leaves the others serving."""

import json
import subprocess
import time

import broker as broker_module
import confluent_kafka
import pytest
import topics
from clients import java
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from test_failing_disk import FAULT, errors_logged, readiness

PARTITIONS = 6
ACKS_ALL = {"linger.ms": 0, "enable.idempotence": True, "log_level": 0, "retry.backoff.ms": 50}


def paths(tmp_path, names="ab"):
    return [tmp_path / name for name in names]


def broker_on(tmp_path, directories, **arguments):
    settings = {"log.dirs": ",".join(map(str, directories)), "metadata.log.dir": directories[0]}
    return broker_module.Broker(tmp_path, settings, **arguments)


def produce(bootstrap, topic, partitions, count, seconds=30):
    """Writes so many records to each partition; returns {partition: values acknowledged}, {partition: error}."""
    client = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "message.timeout.ms": seconds * 1000, **ACKS_ALL}
    )
    acknowledged, errors = {p: [] for p in partitions}, {}

    def on_delivery(error, message):
        if error:
            errors[message.partition()] = error
        else:
            acknowledged[message.partition()].append(message.value())

    for number in range(count):
        for partition in partitions:
            value = f"{partition}/{number}".encode()
            client.produce(topic, value, partition=partition, on_delivery=on_delivery)
        client.poll(0)
    client.flush(seconds + 10)
    return acknowledged, errors


def consume(bootstrap, topic, partition):
    """All values of a partition."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "log_level": 0}
    )
    place = confluent_kafka.TopicPartition(topic, partition, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=20)
    consumer.assign([place])
    values, deadline = [], time.monotonic() + 30
    while len(values) < end and time.monotonic() < deadline:
        values += [m.value() for m in consumer.consume(1000, timeout=0.2) if not m.error()]
    consumer.close()
    return values


def leaders(bootstrap, topic):
    partitions = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(topic, timeout=20)
    return {number: p.leader for number, p in partitions.topics[topic].partitions.items()}


def found_in(directory, topic):
    """The numbers of the partitions that have files there."""
    return sorted(int(path.name.rsplit("-", 1)[1]) for path in directory.glob(f"{topic}-?"))


def described(bootstrap, topic):
    """What Kafka's own tool says: {directory: (error, partitions)}."""
    server = ["--bootstrap-server", bootstrap, "--describe", "--topic-list", topic]
    answer = java.run("LogDirsCommand", *server)
    report = json.loads(next(line for line in answer.splitlines() if line.startswith("{")))
    (broker,) = report["brokers"]
    return {
        d["logDir"]: (d["error"], sorted(int(p["partition"].rsplit("-", 1)[1]) for p in d["partitions"]))
        for d in broker["logDirs"]
    }


def test_topics_are_spread_and_survive_a_kill(tmp_path):
    directories = paths(tmp_path)
    broker = broker_on(tmp_path, directories).start()
    topics.create(broker.bootstrap, "t", PARTITIONS)
    acknowledged, errors = produce(broker.bootstrap, "t", range(PARTITIONS), 200)
    assert not errors and all(len(values) == 200 for values in acknowledged.values())
    tool = described(broker.bootstrap, "t")
    assert sorted(tool) == sorted(map(str, directories))
    assert [len(partitions) for _, partitions in tool.values()] == [3, 3], tool
    for start_again in (broker.kill, broker.stop):
        start_again()
        broker.start()
        for partition in range(PARTITIONS):
            assert consume(broker.bootstrap, "t", partition) == acknowledged[partition]
        assert described(broker.bootstrap, "t") == tool
    broker.stop()
    # A clean end brought everything to the files.
    for directory in directories:
        assert found_in(directory, "t") == tool[str(directory)][1]

    # A directory that is added gets what is new; one that is given up takes its partitions with it.
    broker.settings["log.dirs"] = ",".join(map(str, [*directories, tmp_path / "c"]))
    broker.start()
    topics.create(broker.bootstrap, "u", 3)
    assert described(broker.bootstrap, "u")[str(tmp_path / "c")] == (None, [0, 1, 2])
    broker.kill()
    broker.settings["log.dirs"] = directories[0]
    broker.start()
    kept = tool[str(directories[0])][1]
    expected = {number: 1 if number in kept else -1 for number in range(PARTITIONS)}
    assert leaders(broker.bootstrap, "t") == expected
    assert leaders(broker.bootstrap, "u") == dict.fromkeys(range(3), -1)
    status, body = readiness(broker)
    assert status == 200 and "partitions are in log directories that are not here" in body, body
    assert len(errors_logged(broker, "not here")) == 1
    for partition in kept:
        assert consume(broker.bootstrap, "t", partition) == acknowledged[partition]
    broker.kill()
    broker.settings["log.dirs"] = ",".join(map(str, [*directories, tmp_path / "c"]))
    broker.start()
    for partition in range(PARTITIONS):
        assert consume(broker.bootstrap, "t", partition) == acknowledged[partition]
    broker.kill()


@pytest.mark.parametrize("fault", ["sync:wal:25", "write:wal:40"])
def test_a_directory_that_fails_leaves_the_other_one_serving(tmp_path, fault):
    directories = paths(tmp_path)
    environment = {FAULT: f"{fault}@{directories[1]}"}
    broker = broker_on(tmp_path, directories, environment=environment).start()
    topics.create(broker.bootstrap, "t", PARTITIONS)
    of = {path: partitions for path, (_, partitions) in described(broker.bootstrap, "t").items()}
    good, bad = of[str(directories[0])], of[str(directories[1])]
    before = {p: [] for p in range(PARTITIONS)}
    for _ in range(100):
        acknowledged, errors = produce(broker.bootstrap, "t", range(PARTITIONS), 3, seconds=3)
        for partition, values in acknowledged.items():
            before[partition] += values
        if errors:
            break
    assert set(errors) <= set(bad), "only the partitions of the failed directory are refused"
    assert errors, "the directory never failed"

    after, errors = produce(broker.bootstrap, "t", good, 50)
    assert not errors and all(len(values) == 50 for values in after.values())
    for partition in good:
        assert consume(broker.bootstrap, "t", partition) == before[partition] + after[partition]
    assert leaders(broker.bootstrap, "t") == {p: 1 if p in good else -1 for p in range(PARTITIONS)}
    tool = described(broker.bootstrap, "t")
    assert tool[str(directories[0])] == (None, good)
    assert "KafkaStorageException" in tool[str(directories[1])][0], tool
    status, body = readiness(broker)
    assert status == 200 and f"{directories[1]} is offline" in body, body
    told = errors_logged(broker, "offline")
    assert len(told) == 1 and str(directories[1]) in told[0], told
    topics.create(broker.bootstrap, "new", 2)
    assert described(broker.bootstrap, "new")[str(directories[0])] == (None, [0, 1])
    broker.kill()

    broker.environment.pop(FAULT)
    broker.start()
    for partition in range(PARTITIONS):
        values = consume(broker.bootstrap, "t", partition)
        expected = before[partition] + after.get(partition, [])
        # Behind it at most what was under way when the disk failed.
        assert values[: len(expected)] == expected and len(values) <= len(expected) + 3
    assert readiness(broker) == (200, "ok\n")
    _, errors = produce(broker.bootstrap, "t", range(PARTITIONS), 5)
    assert not errors
    broker.kill()


def cordon(bootstrap, value):
    """Sets cordoned.log.dirs of broker 1 while it runs."""
    entry = ConfigEntry("cordoned.log.dirs", str(value), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.incremental_alter_configs([resource])[resource].result(20)


def test_a_cordoned_directory_gets_nothing_new(tmp_path):
    directories = paths(tmp_path)
    broker = broker_on(tmp_path, directories).start()
    with pytest.raises(confluent_kafka.KafkaException, match="Missing entries : /nowhere"):
        cordon(broker.bootstrap, "/nowhere")
    cordon(broker.bootstrap, directories[0])
    topics.create(broker.bootstrap, "t", 2)
    assert described(broker.bootstrap, "t")[str(directories[1])] == (None, [0, 1])
    broker.kill()
    broker.start()
    topics.create(broker.bootstrap, "u", 2)
    assert described(broker.bootstrap, "u")[str(directories[1])] == (None, [0, 1])
    cordon(broker.bootstrap, "*")
    with pytest.raises(confluent_kafka.KafkaException, match="log directories cordoned"):
        topics.create(broker.bootstrap, "v", 1)
    broker.kill()


def test_a_directory_that_cannot_be_opened_leaves_the_other_one_serving(tmp_path):
    directories = paths(tmp_path)
    broker = broker_on(tmp_path, directories).start()
    topics.create(broker.bootstrap, "t", 2)
    acknowledged, _ = produce(broker.bootstrap, "t", range(2), 10)
    broker.kill()
    aside = tmp_path / "aside"
    directories[1].rename(aside)
    directories[1].write_text("no directory")
    broker.start()
    tool = described(broker.bootstrap, "t")
    (kept,) = tool[str(directories[0])][1]
    assert "KafkaStorageException" in tool[str(directories[1])][0], tool
    assert consume(broker.bootstrap, "t", kept) == acknowledged[kept]
    assert leaders(broker.bootstrap, "t") == {kept: 1, 1 - kept: -1}
    status, body = readiness(broker)
    assert status == 200 and f"{directories[1]} is offline" in body, body
    broker.kill()

    # An empty disk in its place is another directory: what was in it is not made anew.
    directories[1].unlink()
    broker.start()
    assert leaders(broker.bootstrap, "t") == {kept: 1, 1 - kept: -1}
    broker.kill()
    subprocess.run(["rm", "-r", directories[1]], check=True)
    aside.rename(directories[1])
    broker.start()
    for partition in range(2):
        assert consume(broker.bootstrap, "t", partition) == acknowledged[partition]
    broker.kill()
