"""Ottla's own command line."""

import subprocess

from broker import BINARY
from digest import TopicDigest


def produce(bootstrap, topic, records, codec):
    """Writes all records."""
    lines = b"".join(key + b"\t" + value + b"\n" for key, value in records)
    subprocess.run(
        [BINARY, "produce", topic, "-b", bootstrap, "-f", "%k\\t%v\\n", "-z", codec],
        input=lines,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )


def consume(bootstrap, topic, partitions, count):
    """Reads every record up to the present ends."""
    done = subprocess.run(
        [BINARY, "consume", topic, "-b", bootstrap, "-o", "start:end", "-f", "%p\\t%k\\t%v\\n"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    digest = TopicDigest()
    for line in done.stdout.splitlines():
        partition, key, value = line.split(b"\t", 2)
        digest.add(int(partition), key, value)
    assert digest.count == count, f"{digest.count} of {count} records came"
    return digest
