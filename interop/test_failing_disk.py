"""Disks whose fsync fails and that refuse writes, under the journal and under the metadata log."""

import time
import urllib.error
import urllib.request

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import broker as broker_module
import topics

FAULT = "OTTLA_TEST_FAULTY_DISK"


def readiness(broker):
    """(status, body) of /readyz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{broker.http_port}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def producer(bootstrap, timeout_ms=2000):
    return confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "message.timeout.ms": timeout_ms, "linger.ms": 0, "log_level": 0,
         "retry.backoff.ms": 50, "enable.idempotence": True}
    )  # fmt: skip


def produce_until_refused(bootstrap, topic, count_max=400):
    """Writes records one after the other; returns those acknowledged and the first error."""
    acknowledged, errors = [], []
    client = producer(bootstrap)
    for number in range(count_max):
        value = f"record {number}".encode()
        client.produce(topic, value, partition=0,
                       on_delivery=lambda e, _, v=value: errors.append(e) if e else acknowledged.append(v))  # fmt: skip
        client.flush(30)
        if errors:
            return acknowledged, errors[0]
    raise AssertionError("nothing was ever refused")


def consume_all(bootstrap, topic, count):
    """The first `count` values of partition 0, and then what else comes at once."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "log_level": 0}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    values = []
    deadline = time.monotonic() + 20
    while len(values) < count and time.monotonic() < deadline:
        values += [m.value() for m in consumer.consume(1000, timeout=0.2) if not m.error()]
    consumer.close()
    return values


def errors_logged(broker, word):
    lines = broker.log_path.read_text().splitlines()
    return [line for line in lines if "ERROR" in line and word in line]


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("sync:wal:12", "Input/output error"),
        ("write:wal:30", "Input/output error"),
    ],
)
def test_a_journal_that_fails_takes_its_directory_offline(tmp_path, fault, reason):
    """No fsync is tried again: the one that failed is the last, and a restart has what was acknowledged."""
    broker = broker_module.Broker(tmp_path, environment={FAULT: fault}).start()
    topics.create(broker.bootstrap, "t", 1)
    acknowledged, error = produce_until_refused(broker.bootstrap, "t")
    assert 0 < len(acknowledged)
    # The client tries again until its time is over: both names tell the truth.
    assert error.name() in ("KAFKA_STORAGE_ERROR", "_MSG_TIMED_OUT"), error.name()
    assert refusal_of(broker, "t") == "KAFKA_STORAGE_ERROR", "nothing is tried again"

    status, body = readiness(broker)
    assert status == 503 and "offline" in body, body
    told = errors_logged(broker, "offline")
    assert len(told) == 1, f"one line, not {told}"
    assert reason in told[0] and str(broker.settings["log.dirs"]) in told[0]
    assert broker.process.poll() is None, "the process goes on and says what is wrong"
    broker.kill()

    broker.environment.pop(FAULT)
    broker.start()
    values = consume_all(broker.bootstrap, "t", len(acknowledged))
    assert values[: len(acknowledged)] == acknowledged
    # Behind it at most what was under way when the disk failed.
    assert len(values) <= len(acknowledged) + 1
    assert readiness(broker)[0] == 200
    broker.kill()


def test_a_journal_without_room_goes_on_when_there_is_some(tmp_path):
    """Only a file system that copies on write, or a quota, refuses to write where a file was zeroed."""
    broker = broker_module.Broker(tmp_path, environment={FAULT: "write:wal:30:full"}).start()
    topics.create(broker.bootstrap, "t", 1)
    acknowledged = []
    client = producer(broker.bootstrap, timeout_ms=60_000)
    for number in range(100):
        value = f"record {number}".encode()
        client.produce(
            "t", value, partition=0, on_delivery=lambda e, _, v=value: e or acknowledged.append(v)
        )
        client.flush(60)
    assert "the disk is full" in broker.log_path.read_text(), "the disk was full once"
    assert not errors_logged(broker, "offline")
    assert len(acknowledged) == 100, "a refusal is tried again"
    assert consume_all(broker.bootstrap, "t", 100) == acknowledged
    broker.kill()


def test_a_journal_that_stays_without_room_refuses_and_is_not_offline(tmp_path):
    broker = broker_module.Broker(tmp_path, environment={FAULT: "write:wal:30+:full"}).start()
    topics.create(broker.bootstrap, "t", 1)
    acknowledged, error = produce_until_refused(broker.bootstrap, "t")
    assert 0 < len(acknowledged)
    assert error.name() in ("KAFKA_STORAGE_ERROR", "_MSG_TIMED_OUT"), error.name()
    assert refusal_of(broker, "t") == "KAFKA_STORAGE_ERROR"
    status, body = readiness(broker)
    assert "offline" not in body, body
    assert not errors_logged(broker, "offline")
    values = consume_all(broker.bootstrap, "t", len(acknowledged))
    assert values == acknowledged, "what was acknowledged is served"
    broker.kill()

    broker.environment.pop(FAULT)
    broker.start()
    values = consume_all(broker.bootstrap, "t", len(acknowledged))
    assert values[: len(acknowledged)] == acknowledged
    assert readiness(broker)[0] == 200
    broker.kill()


def refusal_of(broker, topic):
    """What a produce request that nobody repeats is answered."""
    answers = []
    client = confluent_kafka.Producer(
        {"bootstrap.servers": broker.bootstrap, "retries": 0, "message.timeout.ms": 10_000, "log_level": 0}
    )
    client.produce(topic, b"refused", partition=0, on_delivery=lambda error, _: answers.append(error))
    client.flush(30)
    return answers[0].name()


@pytest.mark.parametrize("fault", ["sync:metadata:8", "write:metadata:9", "write:metadata:9:full"])
def test_a_metadata_log_that_fails_is_told_and_records_go_on(tmp_path, fault):
    broker = broker_module.Broker(tmp_path, environment={FAULT: fault}).start()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    created, refused = [], None
    for number in range(40):
        name = f"t{number}"
        try:
            admin.create_topics([NewTopic(name, 1, 1)], operation_timeout=5)[name].result(20)
            created.append(name)
        except confluent_kafka.KafkaException as exception:
            refused = exception.args[0]
            break
    assert created and refused is not None
    # The one under way may be told to ask again; whoever asks again hears the reason at once.
    started = time.monotonic()
    with pytest.raises(confluent_kafka.KafkaException) as asked_again:
        admin.create_topics([NewTopic("later", 1, 1)])["later"].result(20)
    assert time.monotonic() - started < 5, "a client that may not try again does not wait"
    message = asked_again.value.args[0].str()
    assert "metadata log" in message and "restart" in message, message

    status, body = readiness(broker)
    assert status == 503, body
    assert any("metadata" in line and "failed" in line for line in body.splitlines()), body
    assert len(errors_logged(broker, "metadata log failed")) == 1

    # Records are not metadata: what is there goes on.
    acknowledged = []
    client = producer(broker.bootstrap)
    client.produce(created[0], b"still", partition=0, on_delivery=lambda e, m: acknowledged.append(e))
    client.flush(30)
    assert acknowledged == [None]
    broker.kill()

    broker.environment.pop(FAULT)
    broker.start()
    there = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=20).topics
    assert set(created) <= set(there)
    assert consume_all(broker.bootstrap, created[0], 1) == [b"still"]
    topics.create(broker.bootstrap, "after")
    assert readiness(broker)[0] == 200
    broker.kill()
