"""Real disks that fill up, and files that rot."""

import contextlib
import errno
import os
import pathlib
import random
import re
import subprocess
import threading
import time

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

import broker as broker_module
import topics
from clients import librdkafka
from digest import TopicDigest
from flights import flights

MIB = 1 << 20


@contextlib.contextmanager
def small_disk(folder, size):
    """An ext4 file system of `size` bytes in a file, mounted for the test."""
    image, mount = folder / "disk.img", folder / "mnt"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def produce_until_refused(bootstrap, topic):
    """Writes 512 KiB records until one is refused; returns (acknowledged, error)."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "message.timeout.ms": 4000, "linger.ms": 0, "log_level": 0,
         "retry.backoff.ms": 100}
    )  # fmt: skip
    acknowledged, errors = [], []

    def delivered(error, message):
        (errors.append(error) if error else acknowledged.append(message.offset()))

    value = random.Random(1).randbytes(512 << 10)
    while not errors:
        producer.produce(topic, value, partition=0, on_delivery=delivered)
        producer.flush(60)
        assert len(acknowledged) < 4000, "the disk never fills"
    return len(acknowledged), errors[0]


def test_a_full_disk_refuses_produce_and_recovers_without_a_restart(tmp_path, figure):
    with small_disk(tmp_path, 900 * MIB) as mount:
        settings = {
            "log.dirs": mount / "data",
            "ottla.wal.bytes": 64 * MIB,
            "ottla.memory.tails.bytes": 8 * MIB,
            "log.segment.bytes": 16 * MIB,
            "log.segment.delete.delay.ms": 0,
        }
        with broker_module.running(settings, directory=tmp_path / "broker") as broker:
            topics.create(broker.bootstrap, "filler", 1)
            topics.create(broker.bootstrap, "kept", 1)
            librdkafka.produce(broker.bootstrap, "kept", flights()[:1000], "none")
            acknowledged, error = produce_until_refused(broker.bootstrap, "filler")
            # The client tries again until its time is over: both names tell the truth.
            assert error.name() in ("KAFKA_STORAGE_ERROR", "_MSG_TIMED_OUT"), error.name()
            assert librdkafka.consume(broker.bootstrap, "kept", 1, 1000).count == 1000
            assert topics.ends(broker.bootstrap, "filler", 1) == [acknowledged]

            admin = AdminClient({"bootstrap.servers": broker.bootstrap})
            admin.delete_topics(["filler"])["filler"].result(30)
            started = time.monotonic()
            librdkafka.produce(broker.bootstrap, "kept", flights()[:1000], "none",
                               **{"message.timeout.ms": 60_000})  # fmt: skip
            figure(f"full disk: took records again {time.monotonic() - started:.1f} s after the deletion")
            assert librdkafka.consume(broker.bootstrap, "kept", 1, 2000).count == 2000


def fill(mount):
    """Takes all the room there is, as another program would."""
    with open(mount / "foreign", "ab") as file:
        size = 64 * MIB
        while size >= 1 << 10:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
                size //= 2


def disk_state(broker):
    states = re.findall(r'ottla_disk_state{.*state="(\w+)"} 1', broker.metrics())
    assert len(states) == 1, states
    return states[0]


def test_a_disk_that_others_fill_stops_the_journal_and_a_deletion_lets_it_go_on(tmp_path, figure):
    """Nothing is left: no reserve, no room for the ring to grow or for a second start to make files."""
    with small_disk(tmp_path, 600 * MIB) as mount:
        settings = {
            "log.dirs": mount / "data",
            "ottla.memory.tails.bytes": 8 * MIB,
            "log.segment.bytes": 4 * MIB,
            "log.segment.delete.delay.ms": 0,
        }
        with broker_module.running(settings, directory=tmp_path / "broker") as broker:
            topics.create(broker.bootstrap, "doomed", 1)
            topics.create(broker.bootstrap, "kept", 1)
            librdkafka.produce(broker.bootstrap, "doomed", flights()[:100_000], "none")
            before = topics.ends(broker.bootstrap, "doomed", 1)
            filling = threading.Thread(target=fill, args=[mount])
            filling.start()
            acknowledged, error = produce_until_refused(broker.bootstrap, "kept")
            filling.join()
            assert error.name() in ("KAFKA_STORAGE_ERROR", "_MSG_TIMED_OUT"), error.name()
            assert disk_state(broker) == "full"
            assert topics.ends(broker.bootstrap, "kept", 1)[0] >= acknowledged
            assert read_all(broker.bootstrap, "doomed", 1)[1] == {}, "what is there is served"
            for _ in range(3):
                broker.kill()
                fill(mount)
                broker.start()
            assert topics.ends(broker.bootstrap, "doomed", 1) == before
            assert topics.ends(broker.bootstrap, "kept", 1)[0] >= acknowledged

            # The other program stays; what the deletion gives back is little, so it lets go of a part.
            admin = AdminClient({"bootstrap.servers": broker.bootstrap})
            admin.delete_topics(["doomed"])["doomed"].result(30)
            deadline = time.monotonic() + 30
            while list((mount / "data").glob("doomed-*")):
                assert time.monotonic() < deadline, broker.log_tail()
                time.sleep(0.1)
            os.truncate(mount / "foreign", 0)
            started = time.monotonic()
            librdkafka.produce(broker.bootstrap, "kept", flights()[:1000], "none",
                               **{"message.timeout.ms": 60_000})  # fmt: skip
            figure(f"disk filled by others: took records again {time.monotonic() - started:.1f} s after they left")
            assert disk_state(broker) == "online"
            assert "offline until a restart" not in broker.log_path.read_text()


def flip_a_bit(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x10]))


def read_all(bootstrap, topic, partitions):
    """Reads each partition as far as it can be read: ({partition: records}, {partition: error})."""
    read, errors = {}, {}
    ends = topics.ends(bootstrap, topic, partitions)
    for partition in range(partitions):
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
             "check.crcs": True, "log_level": 0}
        )
        consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
        records = read.setdefault(partition, [])
        deadline = time.monotonic() + 8
        while len(records) < ends[partition] and time.monotonic() < deadline:
            for message in consumer.consume(5000, timeout=1):
                if message.error():
                    errors[partition] = message.error().name()
                else:
                    records.append((message.key(), message.value()))
        consumer.close()
    return read, errors


def files(folder, pattern):
    return sorted(pathlib.Path(folder).rglob(pattern), key=lambda path: (path.stat().st_size, path))


@pytest.mark.parametrize("victim", ["segment", "wal", "checkpoint"])
def test_a_flipped_bit_is_found_named_and_the_rest_served(tmp_path, victim):
    settings = {
        "log.segment.bytes": 1 * MIB,
        # Much smaller than the data: what the journal still has would mend a segment.
        "ottla.wal.bytes": 16 * MIB,
        "ottla.memory.tails.bytes": 1 * MIB,
    }
    if victim == "wal":
        # Everything is in the journal and nothing else knows it.
        settings = {}
    broker = broker_module.Broker(tmp_path / "broker", settings).start()
    data = broker.settings["log.dirs"]
    topics.create(broker.bootstrap, "rotten", 4)
    records = flights()[:20_000] if victim == "wal" else flights()
    librdkafka.produce(broker.bootstrap, "rotten", records, "none")
    expected, errors = read_all(broker.bootstrap, "rotten", 4)
    assert not errors and sum(map(len, expected.values())) == len(records)
    broker.kill()

    if victim == "segment":
        target = files(data, "rotten-*/00000000000000000000.log")[-1]
        flip_a_bit(target, target.stat().st_size // 2)
    elif victim == "wal":
        # Amid the frames that later ones prove to have been synced.
        written = {path: len(path.read_bytes().rstrip(b"\0")) for path in files(data, "wal/*.wal")}
        target = max(written, key=written.get)
        flip_a_bit(target, written[target] // 2)
    else:
        target = max(files(data, "checkpoints/*"), key=lambda path: path.name)
        flip_a_bit(target, target.stat().st_size // 2)

    looked = subprocess.run([broker_module.BINARY, "debug", "log", data], capture_output=True, text=True)
    assert looked.returncode == 1, looked.stdout
    faults = [line for line in looked.stdout.splitlines() if line.startswith("FAULT in ")]
    assert any(str(target.relative_to(data)) in line for line in faults), faults

    broker.start()
    read, errors = read_all(broker.bootstrap, "rotten", 4)
    for partition, records_read in read.items():
        assert records_read == expected[partition][: len(records_read)], "something wrong is served"
    whole = [p for p in read if len(read[p]) == len(expected[p])]
    least = {"segment": 3, "wal": 0, "checkpoint": 4}[victim]
    assert least <= len(whole), f"one flipped bit harms {4 - len(whole)} partitions"
    if victim == "segment":
        assert len(whole) == 3, "a flipped bit was not found"
    log = broker.log_path.read_text()
    assert any(word in log.lower() for word in ("damage", "corrupt", "checksum")), broker.log_tail()
    broker.kill()
