"""Kafka Streams, Kafka Connect and MirrorMaker, unmodified: what they keep in compacted topics outlives everybody."""

import contextlib
import json
import subprocess
import time
import urllib.request

import confluent_kafka
from confluent_kafka import admin as confluent_admin

import broker as broker_module
from clients import java

STREAMS_INPUT = "streams-plaintext-input"
STREAMS_OUTPUT = "streams-wordcount-output"
STREAMS_GROUP = "streams-wordcount"
COUNTS = "KSTREAM-AGGREGATE-STATE-STORE-0000000003"
PATIENCE_SECONDS = 120


def _wait_until(what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def _framework(main, settings, directory):
    """The Java process of a framework with a properties file; killed at the end."""
    config = directory / f"{main.rsplit('.', 1)[-1]}.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    with open(config.with_suffix(".log"), "ab") as log:
        process = subprocess.Popen(java.framework(main, config), stdout=log, stderr=log)
        try:
            yield process
        except AssertionError:
            print(config.with_suffix(".log").read_text()[-4000:])
            raise
        finally:
            process.kill()
            process.wait()


def _word_count(broker, state):
    settings = {
        "bootstrap.servers": broker.bootstrap,
        "state.dir": state,
        "commit.interval.ms": 200,
        "consumer.session.timeout.ms": 6000,
    }
    return _framework("org.apache.kafka.streams.examples.wordcount.WordCountDemo", settings, broker.directory)


def _write(broker, topic, lines):
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})
    for line in lines:
        producer.produce(topic, line)
    assert producer.flush(PATIENCE_SECONDS) == 0


class _Table:
    """The newest value of each key of a topic."""

    def __init__(self, broker, topic):
        settings = {"bootstrap.servers": broker.bootstrap, "group.id": "unused"}
        self.consumer = confluent_kafka.Consumer(settings)
        self.consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        self.rows = {}

    def read(self):
        for message in self.consumer.consume(100, timeout=0.1):
            assert message.error() is None, message.error()
            self.rows[message.key().decode()] = int.from_bytes(message.value(), "big")
        return self.rows


def _is_all_committed(broker, group, partitions):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    committed = consumer.committed(partitions, timeout=PATIENCE_SECONDS)
    ends = [consumer.get_watermark_offsets(partition, timeout=PATIENCE_SECONDS)[1] for partition in partitions]
    # A partition without records is committed by nobody.
    return all(max(found.offset, 0) == end for found, end in zip(committed, ends))


def _clean_up_policy(broker, topic):
    admin = confluent_admin.AdminClient({"bootstrap.servers": broker.bootstrap})
    resource = confluent_admin.ConfigResource(confluent_admin.ResourceType.TOPIC, topic)
    return admin.describe_configs([resource])[resource].result(PATIENCE_SECONDS)["cleanup.policy"].value


def _create(broker, *topics):
    admin = confluent_admin.AdminClient({"bootstrap.servers": broker.bootstrap})
    for made in admin.create_topics([confluent_admin.NewTopic(topic, 1, 1) for topic in topics]).values():
        made.result(PATIENCE_SECONDS)


def test_a_word_count_goes_on_from_its_changelog(tmp_path):
    with broker_module.running({"group.initial.rebalance.delay.ms": 0}) as broker:
        _create(broker, STREAMS_INPUT, STREAMS_OUTPUT)
        _write(broker, STREAMS_INPUT, ["all streams lead to kafka", "hello kafka streams"])
        first = {"all": 1, "streams": 2, "lead": 1, "to": 1, "kafka": 2, "hello": 1}
        table = _Table(broker, STREAMS_OUTPUT)
        read_by_streams = [
            confluent_kafka.TopicPartition(topic, 0)
            for topic in [STREAMS_INPUT, f"{STREAMS_GROUP}-{COUNTS}-repartition"]
        ]
        with _word_count(broker, tmp_path / "state"):
            _wait_until("counted", lambda: table.read() == first)
            # At least once: what is not committed would be counted again.
            _wait_until("committed", lambda: _is_all_committed(broker, STREAMS_GROUP, read_by_streams))
        assert _clean_up_policy(broker, f"{STREAMS_GROUP}-{COUNTS}-changelog") == "compact"
        assert _clean_up_policy(broker, f"{STREAMS_GROUP}-{COUNTS}-repartition") == "delete"

        broker.kill()
        broker.start()
        _write(broker, STREAMS_INPUT, ["kafka again"])
        with _word_count(broker, tmp_path / "no state here"):
            _wait_until("went on", lambda: table.read() == {**first, "kafka": 3, "again": 1})


class _Connect:
    """The REST API of a worker."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path, method="GET", body=None):
        """The answer, or nothing while the worker starts or decides who leads."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"content-type": "application/json"},
        )
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
        return None

    def configure(self, name, config):
        _wait_until(f"{name} was taken", lambda: self.ask(f"/connectors/{name}/config", "PUT", config))

    def tasks(self, name):
        """States of the connector's tasks."""
        status = self.ask(f"/connectors/{name}/status") or {"tasks": []}
        return [task["state"] for task in status["tasks"]]


def _worker(broker, port):
    stored = {
        f"{kind}.storage.{key}": value
        for kind in ["offset", "config", "status"]
        for key, value in [("topic", f"connect-{kind}"), ("replication.factor", 1)]
    }
    settings = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": "connect-cluster",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "offset.flush.interval.ms": 200,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 2000,
        "consumer.session.timeout.ms": 6000,
        "scheduled.rebalance.max.delay.ms": 0,
        "listeners": f"http://127.0.0.1:{port}",
        "plugin.discovery": "service_load",
        **stored,
    }
    return _framework("org.apache.kafka.connect.cli.ConnectDistributed", settings, broker.directory)


def _lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_a_worker_of_connect_finds_everything_again(tmp_path):
    source, sink = tmp_path / "in.txt", tmp_path / "out.txt"
    file = "org.apache.kafka.connect.file.FileStream"
    connectors = {
        "source": {"connector.class": f"{file}SourceConnector", "file": str(source), "topic": "lines"},
        "sink": {"connector.class": f"{file}SinkConnector", "file": str(sink), "topics": "lines"},
    }
    with broker_module.running({"group.initial.rebalance.delay.ms": 0}) as broker:
        port = broker_module.free_port()
        connect = _Connect(port)
        first = [f"line {number}" for number in range(1000)]
        source.write_text("\n".join(first) + "\n")
        position = {"offsets": [{"partition": {"filename": str(source)}, "offset": {"position": source.stat().st_size}}]}
        sunk = [confluent_kafka.TopicPartition("lines", 0)]
        with _worker(broker, port):
            for name, config in connectors.items():
                connect.configure(name, config)
            _wait_until("were through", lambda: _lines(sink) == first)
            for name in connectors:
                _wait_until(f"{name} runs", lambda: connect.tasks(name) == ["RUNNING"])
            # At least once: what is not committed would come again.
            _wait_until("were stored", lambda: connect.ask("/connectors/source/offsets") == position)
            _wait_until("were committed", lambda: _is_all_committed(broker, "connect-sink", sunk))
        for kind in ["offset", "config", "status"]:
            assert _clean_up_policy(broker, f"connect-{kind}") == "compact"

        broker.kill()
        broker.start()
        with source.open("a") as file:
            file.write("after the crash\n")
        with _worker(broker, port):
            _wait_until("went on", lambda: _lines(sink) == [*first, "after the crash"])
            _wait_until("knew its connectors", lambda: set(connect.ask("/connectors") or []) == set(connectors))


def _mirror(source, target):
    settings = {
        "clusters": "a,b",
        "a.bootstrap.servers": source.bootstrap,
        "b.bootstrap.servers": target.bootstrap,
        "a->b.enabled": "true",
        "a->b.topics": "orders",
        # Kafka without an authorizer has no ACLs to copy either.
        "sync.topic.acls.enabled": "false",
        "offset.flush.interval.ms": 200,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 2000,
        "scheduled.rebalance.max.delay.ms": 0,
        "plugin.discovery": "service_load",
        "replication.factor": 1,
        **{f"{topic}.topic.replication.factor": 1 for topic in ["checkpoints", "heartbeats", "offset-syncs"]},
        **{f"{topic}.storage.replication.factor": 1 for topic in ["offset", "status", "config"]},
    }
    return _framework("org.apache.kafka.connect.mirror.MirrorMaker", settings, target.directory)


class _Copy:
    """The values of a topic, with what came more than once counted once."""

    def __init__(self, broker, topic):
        settings = {"bootstrap.servers": broker.bootstrap, "group.id": "unused"}
        self.consumer = confluent_kafka.Consumer(settings)
        _wait_until(f"{topic} was made", lambda: topic in self.consumer.list_topics(timeout=PATIENCE_SECONDS).topics)
        self.consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        self.values = []

    def read(self):
        for message in self.consumer.consume(1000, timeout=0.1):
            # The broker is away for a moment.
            if message.error() is None and message.value().decode() not in self.values:
                self.values.append(message.value().decode())
        return self.values


def test_a_mirror_goes_on_after_everybody_was_killed():
    at_once = {"group.initial.rebalance.delay.ms": 0}
    with broker_module.running(at_once) as source, broker_module.running(at_once) as target:
        _create(source, "orders")
        first = [f"order {number}" for number in range(1000)]
        _write(source, "orders", first)
        with _mirror(source, target):
            copy = _Copy(target, "a.orders")
            _wait_until("were copied", lambda: copy.read() == first)
        for broker in (source, target):
            broker.kill()
            broker.start()
        _write(source, "orders", ["after the crash"])
        with _mirror(source, target):
            _wait_until("went on", lambda: copy.read() == [*first, "after the crash"])
        assert _clean_up_policy(target, "mm2-configs.a.internal") == "compact"
