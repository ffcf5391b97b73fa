"""A broker that loses power every few seconds, under producers and a group that commits; the history is judged.

    crash_loop.py --minutes 30 [--seed N] [--directory DIR] [--durability os]

Exits with 1 when something may not be. Each kill is a power cut: the broker runs on the disk that forgets what was not
synced; with --durability os it is the kill of a process on the machine's disk. The seed decides when it is killed; what
the clients do at that moment it cannot decide.
"""

import argparse
import collections
import pathlib
import random
import sys
import tempfile
import threading
import time

import confluent_kafka

import broker as broker_module
import topics
from group_member import Member
from history import History, judge

TOPIC, KEYED_TOPIC, GROUP = "crashes", "crashing-keys", "survivors"
PARTITIONS, PRODUCERS, MEMBERS = 4, 3, 3
# The compacted topic: each key is overwritten again and again, and deleted at each so manieth time.
KEYS, WRITES_PER_DELETION = 20, 7
# Cleaned all the time, and what a tombstone deleted is forgotten at once.
COMPACTED = {
    "cleanup_policy": "compact",
    "segment_ms": 1_000,
    "min_cleanable_dirty_ratio": 0.01,
    "delete_retention_ms": 0,
}
# Of each producer; more would only fill the memory of the judge.
RECORDS_PER_SECOND = 200
SECONDS_BETWEEN_KILLS = (1.0, 5.0)
# Of so many kills of the broker, one kills a member as well.
KILLS_PER_MEMBER = 5
PATIENCE_SECONDS = 120
SETTINGS = {
    "log.segment.bytes": 1 << 20,
    "ottla.wal.bytes": 16 << 20,
    "ottla.memory.tails.bytes": 2 << 20,
    "group.initial.rebalance.delay.ms": 100,
    "log.cleaner.backoff.ms": 200,
}
QUICKLY_BACK = {
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 100,
    "retry.backoff.ms": 10,
    "log_level": 2,
}

Run = collections.namedtuple("Run", "history kills member_kills slowest_restart anomalies seed")


class Client(threading.Thread):
    """A client on a thread of its own, until it is told to stop."""

    def __init__(self, history):
        super().__init__(daemon=True)
        self.history = history
        self.enough = threading.Event()
        self.failure = None

    def run(self):
        try:
            self.work()
        except Exception as failure:  # noqa: BLE001: told by whoever waits for the thread
            self.failure = failure

    def stop(self):
        self.enough.set()
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive(), f"{type(self).__name__} does not come to an end"
        if self.failure is not None:
            raise self.failure


class Writer(Client):
    """An idempotent producer that retries for ever."""

    def __init__(self, history, bootstrap, number):
        super().__init__(history)
        self.number = number
        self.failures = []
        self.producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 2,
                **QUICKLY_BACK,
            }
        )

    def send(self, number):
        value = b"%d %d" % (self.number, number)
        self.producer.produce(TOPIC, value, partition=number % PARTITIONS, on_delivery=self.delivered)

    def safe(self, message):
        place = (message.partition(), message.offset(), message.value())
        self.history.acknowledged.append(place)

    def delivered(self, error, message):
        if error is None:
            self.safe(message)
        else:
            self.failures.append(str(error))

    def work(self):
        number = 0
        while not self.enough.is_set():
            self.send(number)
            number += 1
            self.producer.poll(0)
            self.enough.wait(1 / RECORDS_PER_SECOND)
            # Nothing may pile up while the broker is away: what is in flight is what is interesting.
            while len(self.producer) > 500:
                self.producer.poll(0.05)
        while self.producer.flush(1):
            pass
        assert not self.failures, self.failures[:3]


class KeyWriter(Writer):
    """One that overwrites and deletes keys of its own in the compacted topic."""

    def send(self, number):
        key = b"%d-%d" % (self.number, number % KEYS)
        deletes = number // KEYS % WRITES_PER_DELETION == WRITES_PER_DELETION - 1
        value = None if deletes else b"%d %d" % (self.number, number)
        partition = number % KEYS % PARTITIONS
        self.producer.produce(KEYED_TOPIC, value, key, partition=partition, on_delivery=self.delivered)

    def safe(self, message):
        place = (message.partition(), message.offset(), message.key(), message.value())
        self.history.keyed_seen.append(place)


class Tail(Client):
    """Reads all partitions from the beginning, without a group."""

    topic = TOPIC

    def __init__(self, history, bootstrap):
        super().__init__(history)
        self.consumer = plain_consumer(bootstrap, self.topic)

    def saw(self, message):
        place = (message.partition(), message.offset(), message.value())
        self.history.read.append(place)

    def work(self):
        while not self.enough.is_set():
            for message in self.consumer.consume(1_000, 0.2):
                if message.error() is None:
                    self.saw(message)
        self.consumer.close()


class KeyTail(Tail):
    """One of the compacted topic."""

    topic = KEYED_TOPIC

    def saw(self, message):
        place = (message.partition(), message.offset(), message.key(), message.value())
        self.history.keyed_seen.append(place)


class Observer(Client):
    """Asks how far the group is, again and again."""

    def __init__(self, history, bootstrap):
        super().__init__(history)
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": bootstrap, "group.id": GROUP, **QUICKLY_BACK}
        )

    def work(self):
        partitions = [confluent_kafka.TopicPartition(TOPIC, p) for p in range(PARTITIONS)]
        while not self.enough.wait(0.05):
            asked = time.monotonic_ns()
            try:
                answer = self.consumer.committed(partitions, timeout=2)
            except confluent_kafka.KafkaException:
                continue  # the broker is away
            heard = time.monotonic_ns()
            for told in answer:
                if told.error is None:
                    self.history.told.append((asked, heard, told.partition, max(told.offset, 0)))
        self.consumer.close()


def plain_consumer(bootstrap, topic):
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused: partitions are assigned by hand",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
            **QUICKLY_BACK,
        }
    )
    start = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(topic, p, start) for p in range(PARTITIONS)])
    return consumer


def read_log(bootstrap, topic):
    """All records, partition by partition."""
    log = {partition: [] for partition in range(PARTITIONS)}
    unread = set(log)
    consumer = plain_consumer(bootstrap, topic)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while unread:
        assert time.monotonic() < deadline, f"not all is readable: {unread}"
        for message in consumer.consume(10_000, 1):
            if message.error() is None:
                log[message.partition()].append(message)
            elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
            else:
                raise confluent_kafka.KafkaException(message.error())
    consumer.close()
    return log


def wait_until(is_so, what, broker):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: never\n{broker.log_tail()}"
        time.sleep(0.02)


class Group:
    """The members, of which one dies now and then."""

    def __init__(self, bootstrap, directory):
        self.bootstrap, self.directory = bootstrap, directory
        self.all, self.alive = [], []
        for _ in range(MEMBERS):
            self.join()

    def join(self):
        log = self.directory / f"member-{len(self.all)}.log"
        member = Member("librdkafka", self.bootstrap, TOPIC, GROUP, log)
        self.all.append(member)
        self.alive.append(member)

    def replace(self, dice):
        self.alive.pop(dice.randrange(len(self.alive))).kill()
        self.join()

    def end(self):
        for member in self.alive:
            member.kill()

    def said(self, word):
        """(when, numbers) of everything that any member said with this word."""
        every = ((at, numbers) for member in self.all for at, said, numbers in list(member.said) if said == word)
        return list(every)

    def has_committed(self, log):
        """The group is at the end of every partition."""
        reached = {}
        for _, (partition, offset) in self.said("committed"):
            reached[partition] = max(offset, reached.get(partition, 0))
        return all(reached.get(p, 0) == records[-1][0] + 1 for p, records in log.items() if records)

    def tell(self, history):
        history.given += [tuple(numbers) for _, numbers in self.said("read")]
        history.committed += [(at, *numbers) for at, numbers in self.said("committed")]


def run(seconds, seed, directory, durability="fsync"):
    """Kills the broker for so many seconds; what was seen, and what of it may not be."""
    dice = random.Random(seed)
    directory = pathlib.Path(directory)
    settings = {**SETTINGS, "ottla.durability": durability}
    environment = {"OTTLA_TEST_POWER_CUT_DISK": str(seed)} if durability == "fsync" else {}
    broker = broker_module.Broker(directory / "broker", settings, environment).start()
    topics.create(broker.bootstrap, TOPIC, PARTITIONS)
    topics.create(broker.bootstrap, KEYED_TOPIC, PARTITIONS, **COMPACTED)
    history = History()
    clients = [Writer(history, broker.bootstrap, number) for number in range(PRODUCERS)]
    clients.append(KeyWriter(history, broker.bootstrap, PRODUCERS))
    readers = [reader(history, broker.bootstrap) for reader in (Tail, KeyTail, Observer)]
    for client in clients + readers:
        client.start()
    group = Group(broker.bootstrap, directory)
    kills, member_kills, slowest = 0, 0, 0.0
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # Something is acknowledged in each life; then the blow falls at any moment.
            before = len(history.acknowledged)
            wait_until(lambda: before < len(history.acknowledged), "progress", broker)  # noqa: B023
            time.sleep(dice.uniform(*SECONDS_BETWEEN_KILLS))
            broker.kill()
            kills += 1
            if kills % KILLS_PER_MEMBER == 0:
                group.replace(dice)
                member_kills += 1
            started = time.monotonic()
            broker.start()
            slowest = max(slowest, time.monotonic() - started)
        for client in clients:
            client.stop()
        for partition, messages in read_log(broker.bootstrap, TOPIC).items():
            history.log[partition] = [(m.offset(), m.value()) for m in messages]
        for partition, messages in read_log(broker.bootstrap, KEYED_TOPIC).items():
            history.keyed_log[partition] = [(m.offset(), m.key(), m.value()) for m in messages]
        wait_until(lambda: group.has_committed(history.log), "the group reaches the end", broker)
        for reader in readers:
            reader.stop()
    finally:
        for client in clients + readers:
            client.enough.set()
        group.end()
        broker.kill()
    group.tell(history)
    return Run(history, kills, member_kills, slowest, judge(history), seed)


def describe(run):
    """One line of figures."""
    seen = run.history
    return (
        f"{seen.operations()} operations ({len(seen.acknowledged)} records acknowledged, {len(seen.read)} read, "
        f"{len(seen.given)} given to members, {len(seen.committed)} commits, {len(seen.told)} offsets told, "
        f"{len(seen.keyed_seen)} of keys), {seen.keys_kept()} of {seen.keys_written()} records of keys kept, "
        f"broker killed {run.kills} times, {run.member_kills} members killed, slowest start "
        f"{run.slowest_restart * 1000:.0f} ms, {len(run.anomalies)} anomalies (seed {run.seed})"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000 + 1)
    parser.add_argument("--directory", help="where the data goes; a temporary place when not given")
    parser.add_argument("--durability", choices=("fsync", "os"), default="fsync")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ottla-crashes-") as temporary:
        directory = arguments.directory or temporary
        done = run(arguments.minutes * 60, arguments.seed, directory, arguments.durability)
    print(describe(done))
    for anomaly in done.anomalies[:50]:
        print(f"{anomaly.kind}: {anomaly.detail}")
    return 1 if done.anomalies else 0


if __name__ == "__main__":
    sys.exit(main())
