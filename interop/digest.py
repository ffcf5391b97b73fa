"""What a reader saw, in a form that two readers, or a reader and a writer, can compare."""

import hashlib
import struct


class TopicDigest:
    """SHA-256 over the records of each partition and of each key, in the order they were seen.

    `partitions` is comparable between readers of one topic. `keys` is comparable with the
    writer's input too, because every record of a key must be in one partition, in order.
    """

    def __init__(self):
        self.count = 0
        self._partitions = {}
        self._keys = {}
        self._home = {}

    def add(self, partition, key, value):
        framed = struct.pack(">I", len(key)) + key + struct.pack(">I", len(value)) + value
        self._partitions.setdefault(partition, hashlib.sha256()).update(framed)
        self._keys.setdefault(key, hashlib.sha256()).update(framed)
        home = self._home.setdefault(key, partition)
        assert home == partition, f"key {key!r} is in partitions {home} and {partition}"
        self.count += 1

    @property
    def partitions(self):
        return {p: h.hexdigest() for p, h in sorted(self._partitions.items())}

    @property
    def keys(self):
        return {k: h.hexdigest() for k, h in sorted(self._keys.items())}


def of_records(records):
    """The digest a writer of `records` expects its readers to have (only `keys` means anything)."""
    digest = TopicDigest()
    for key, value in records:
        digest.add(0, key, value)
    return digest
