"""Who is connected: `ottla client list` with two of the clients people use."""

import json
import subprocess
import time

import confluent_kafka
import kafka

import broker as broker_module

PATIENCE_SECONDS = 60


def _listed(broker, *more):
    command = [broker_module.BINARY, "client", "list", "--format", "json", "-b", broker.bootstrap, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["clients"]


def test_two_clients_are_told_apart():
    with broker_module.running({"num.partitions": 1, "group.initial.rebalance.delay.ms": 0}) as broker:
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, "client.id": "writer"})
        producer.produce("t", b"x" * 1000)
        assert producer.flush(PATIENCE_SECONDS) == 0
        consumer = kafka.KafkaConsumer(
            "t",
            bootstrap_servers=broker.bootstrap,
            client_id="reader",
            group_id="billing",
            auto_offset_reset="earliest",
        )
        assert len(next(consumer).value) == 1000
        clients = _listed(broker, "--sort", "bytes")
        writers = [client for client in clients if client["client_id"] == "writer"]
        readers = [client for client in clients if client["client_id"] == "reader"]
        assert {client["software_name"] for client in writers} == {"confluent-kafka-python"}, writers
        assert {client["software_name"] for client in readers} == {"kafka-python"}, readers
        assert 1000 < max(client["received_bytes"] for client in writers)
        assert 1000 < max(client["sent_bytes"] for client in readers)
        assert all(client["groups"] == [] for client in writers)
        assert all(client["groups"] == ["billing"] for client in readers)
        assert all(client["listener"] == "PLAINTEXT" for client in clients)
        traffic = [client["received_bytes"] + client["sent_bytes"] for client in clients]
        assert traffic == sorted(traffic, reverse=True)
        consumer.close()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(client["client_id"] == "reader" for client in _listed(broker)):
            assert time.monotonic() < deadline, "it has gone and is listed still"
