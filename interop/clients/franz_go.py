"""franz-go, through the program in `go/`."""

import subprocess

from digest import TopicDigest
from flights import HOME

PROGRAM = HOME / "go/flights"


def run(command, bootstrap, *arguments, **options):
    """Runs a command of the program to its end; returns its standard output."""
    line = [PROGRAM, command, bootstrap, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, timeout=180, **options)
    assert done.returncode == 0, f"{command} {arguments}: {done.stderr.decode()}"
    return done.stdout


def produce(bootstrap, topic, records, codec):
    """Writes all records with an idempotent producer."""
    lines = b"".join(key + b"\t" + value + b"\n" for key, value in records)
    run("produce", bootstrap, topic, codec, input=lines)


def consume(bootstrap, topic, partitions, count):
    """Reads `count` records of all `partitions` from the start."""
    digest = TopicDigest()
    for line in run("consume", bootstrap, topic, partitions, count).splitlines():
        partition, key, value = line.split(b"\t", 2)
        digest.add(int(partition), key, value)
    return digest
