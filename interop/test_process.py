"""The process as an operator meets it: starting, stopping, starting twice, health, metrics."""

import json
import subprocess
import urllib.request

import pytest

import broker as broker_module
import topics
from clients import librdkafka
from flights import flights


def http(broker, path):
    broker_module.wait_for_port(broker.http_port)
    with urllib.request.urlopen(f"http://127.0.0.1:{broker.http_port}{path}", timeout=10) as answer:
        return answer.status, answer.read().decode()


def test_sigterm_drains_and_exits_0(tmp_path):
    broker = broker_module.Broker(tmp_path).start()
    topics.create(broker.bootstrap, "kept", 2)
    records = flights()[:5000]
    librdkafka.produce(broker.bootstrap, "kept", records, "zstd")
    assert broker.stop() == 0
    broker.start()
    assert librdkafka.consume(broker.bootstrap, "kept", 2, 5000).count == 5000
    assert broker.stop() == 0


def test_a_second_process_on_the_same_directory_is_refused(tmp_path):
    with broker_module.running(directory=tmp_path / "one") as first:
        second = broker_module.Broker(tmp_path / "two", {"log.dirs": first.settings["log.dirs"]})
        with pytest.raises(AssertionError):
            second.start()
        assert second.process.wait() == 1
        message = second.log_path.read_text()
        assert "log.dirs" in message or str(first.settings["log.dirs"]) in message
        assert "another process" in message or "in use" in message or "locked" in message
        topics.create(first.bootstrap, "alive")


def test_health_and_metrics(tmp_path):
    with broker_module.running({"ottla.metrics.level": "topic"}, directory=tmp_path) as broker:
        assert http(broker, "/livez")[0] == 200
        assert http(broker, "/readyz")[0] == 200
        topics.create(broker.bootstrap, "counted", 1)
        librdkafka.produce(broker.bootstrap, "counted", flights()[:1000], "none")
        status, metrics = http(broker, "/metrics")
        assert status == 200
        rows = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        assert float(rows['ottla_topic_records_in_total{topic="counted"}']) == 1000
        listener = 'api="Produce",listener="PLAINTEXT"'
        assert any(name.startswith(f"ottla_request_duration_seconds_bucket{{{listener}") for name in rows)
        produced = [float(n) for name, n in rows.items() if name.startswith('ottla_requests_total{api="Produce",version="')]
        assert sum(produced) > 0
        assert float(rows['ottla_connections_total{listener="PLAINTEXT"}']) > 0
        assert float(rows['ottla_partitions{state="led"}']) == 1
        assert float(rows['ottla_partitions{state="under_replicated"}']) == 0
        assert float(rows["ottla_metadata_is_leader"]) == 1
        assert float(rows["ottla_metadata_applied_offset"]) > 0
        assert float(rows['ottla_topic_size_bytes{topic="counted"}']) > 1000
        assert "ottla_held_requests_total" in rows and "ottla_request_queue_depth" in rows
        assert not any(name.startswith("ottla_partition_") for name in rows), "only when asked for"


def test_metrics_by_partition(tmp_path):
    with broker_module.running({"ottla.metrics.level": "partition"}, directory=tmp_path) as broker:
        topics.create(broker.bootstrap, "counted", 1)
        librdkafka.produce(broker.bootstrap, "counted", flights()[:100], "none")
        _, metrics = http(broker, "/metrics")
        rows = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        labels = 'topic="counted",partition="0"'
        assert float(rows[f"ottla_partition_high_watermark{{{labels}}}"]) == 100
        assert float(rows[f"ottla_partition_last_stable_offset{{{labels}}}"]) == 100
        assert float(rows[f"ottla_partition_log_start_offset{{{labels}}}"]) == 0
        assert float(rows[f"ottla_partition_size_bytes{{{labels}}}"]) > 100


def test_a_stock_kafka_configuration_starts_unchanged(tmp_path):
    """Kafka 4.4's own config/server.properties, but for the ports and the folder."""
    port, controller_port = broker_module.free_port(), broker_module.free_port()
    (tmp_path / "server.properties").write_text(
        f"""
process.roles=broker,controller
node.id=0
controller.quorum.bootstrap.servers=localhost:{controller_port}
listeners=PLAINTEXT://:{port},CONTROLLER://:{controller_port}
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:{port},CONTROLLER://localhost:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs={tmp_path}/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""
    )
    broker = broker_module.Broker(tmp_path / "unused")
    broker.port, broker.bootstrap = port, f"localhost:{port}"
    broker.start_with(["start", "-c", tmp_path / "server.properties", "--set", f"ottla.http.port={broker.http_port}"])
    try:
        topics.create(broker.bootstrap, "stock", 1)
        librdkafka.produce(broker.bootstrap, "stock", flights()[:100], "gzip")
        assert librdkafka.consume(broker.bootstrap, "stock", 1, 100).count == 100
    finally:
        broker.kill()


def test_a_near_miss_is_named_and_fatal_when_strict(tmp_path):
    settings = {"log.retention.hour": 5}
    with broker_module.running(settings, directory=tmp_path) as broker:
        assert "log.retention.hours" in broker.log_path.read_text()
    strict = subprocess.run(
        [broker_module.BINARY, "start", "--strict", "-c", tmp_path / "server.properties"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert strict.returncode != 0
    assert "log.retention.hours" in strict.stderr


def test_the_command_line_speaks_json_on_stdout_only(broker):
    def ottla(*arguments):
        done = subprocess.run(
            [broker_module.BINARY, *arguments, "-b", broker.bootstrap, "--format", "json"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    assert ottla("topic", "create", "by-hand", "-p", "3")[0] == 0
    code, out, _ = ottla("topic", "list")
    assert code == 0 and "by-hand" in json.dumps(json.loads(out))
    code, out, _ = ottla("topic", "describe", "by-hand")
    assert code == 0 and json.loads(out)
    code, out, error = ottla("topic", "describe", "by-hnad")
    assert code == 1 and "by-hnad" in error
    assert ottla("topic", "delete", "by-hand")[0] == 0
    assert ottla("topic", "frobnicate")[0] == 2
