"""What clients saw of a broker that was killed again and again, and what of it may not be."""

import collections
import dataclasses


@dataclasses.dataclass
class History:
    """Times are nanoseconds of one monotonic clock; a value is b"<producer> <number>", and each is sent once."""

    # What producers were told is safe: (partition, offset, value).
    acknowledged: list = dataclasses.field(default_factory=list)
    # What a plain reader saw meanwhile: (partition, offset, value).
    read: list = dataclasses.field(default_factory=list)
    # What members of the group were given: (partition, offset).
    given: list = dataclasses.field(default_factory=list)
    # Commits that were answered: (when it was heard, partition, next offset).
    committed: list = dataclasses.field(default_factory=list)
    # Committed offsets as an observer was told: (when it asked, when it heard, partition, next offset).
    told: list = dataclasses.field(default_factory=list)
    # All records at the end: partition -> [(offset, value)], as they were read from the beginning.
    log: dict = dataclasses.field(default_factory=dict)
    # The compacted topic: what producers were told is safe or a reader saw, (partition, offset, key, value); a value of
    # None is a tombstone. A key is written by one producer only.
    keyed_seen: list = dataclasses.field(default_factory=list)
    # All its records at the end: partition -> [(offset, key, value)].
    keyed_log: dict = dataclasses.field(default_factory=dict)

    def operations(self):
        """How many things were seen before the end."""
        seen = (self.acknowledged, self.read, self.given, self.committed, self.told, self.keyed_seen)
        return sum(map(len, seen))

    def keys_written(self):
        """How many records the compacted topic was given at least."""
        return len({(partition, offset) for partition, offset, _, _ in self.keyed_seen})

    def keys_kept(self):
        """How many of them compaction left."""
        return sum(map(len, self.keyed_log.values()))


Anomaly = collections.namedtuple("Anomaly", "kind detail")


def judge(history):
    """Everything that may not be, as a list of anomalies."""
    return [
        *_records(history),
        *_order(history),
        *_offsets_told(history),
        *_skipped(history),
        *_newest_of_keys(history),
        *_order_of_keys(history),
    ]


def _records(history):
    """What was acknowledged or read once is in the log, at its place and as it was."""
    log = {(p, offset): value for p, records in history.log.items() for offset, value in records}
    for what, seen in ("acknowledged", history.acknowledged), ("read", history.read):
        for partition, offset, value in seen:
            found = log.get((partition, offset))
            if found is None:
                yield Anomaly("lost", f"{partition}@{offset} {value!r} was {what}")
            elif found != value:
                yield Anomaly("changed", f"{partition}@{offset} {what} as {value!r}, now {found!r}")
    for partition, offset in history.given:
        if (partition, offset) not in log:
            yield Anomaly("lost", f"{partition}@{offset} was given to a member")


def _order(history):
    """Each record is there once, and each producer's records in the order in which they were sent."""
    places = {}
    for partition, records in history.log.items():
        newest = {}
        for offset, value in records:
            if value in places:
                yield Anomaly("duplicated", f"{value!r} at {places[value]} and {partition}@{offset}")
                continue
            places[value] = f"{partition}@{offset}"
            producer, number = map(int, value.split())
            if number < newest.get(producer, -1):
                yield Anomaly("reordered", f"{partition}@{offset}: {value!r} after {newest[producer]}")
            newest[producer] = number


def _offsets_told(history):
    """A commit that was answered is never forgotten, and an offset that was told is never taken back."""
    # At one time what is known comes before who asks: it was heard by then.
    events = [(at, 0, partition, offset, "commit lost") for at, partition, offset in history.committed]
    for asked, heard, partition, offset in history.told:
        events.append((heard, 0, partition, offset, "offset taken back"))
        events.append((asked, 1, partition, offset, None))
    floors = collections.defaultdict(dict)
    for _, _, partition, offset, kind in sorted(events, key=lambda event: event[:2]):
        if kind is not None:
            known = floors[kind]
            known[partition] = max(offset, known.get(partition, 0))
            continue
        for kind, known in floors.items():
            if offset < known.get(partition, 0):
                yield Anomaly(kind, f"{partition}: {offset} was told, {known[partition]} was known")


def _skipped(history):
    """What lies below a commit was given to somebody."""
    given = collections.defaultdict(set)
    for partition, offset in history.given:
        given[partition].add(offset)
    ends = {}
    for _, partition, offset in history.committed:
        ends[partition] = max(offset, ends.get(partition, 0))
    for partition, end in ends.items():
        offsets = {offset for offset, _ in history.log.get(partition, []) if offset < end}
        missing = sorted(offsets - given[partition])
        if missing:
            yield Anomaly("skipped", f"{partition}: {len(missing)} below {end}, first {missing[0]}")


def _newest_of_keys(history):
    """Compaction takes what a newer record of the same key replaces, and a tombstone only after what it deletes."""
    newest = {}
    log = {(p, offset): (key, value) for p, records in history.keyed_log.items() for offset, key, value in records}
    for partition, offset, key, value in history.keyed_seen:
        if (partition, key) not in newest or newest[partition, key][0] < offset:
            newest[partition, key] = offset, value
        found = log.get((partition, offset), (key, value))
        if found != (key, value):
            yield Anomaly("changed", f"{partition}@{offset} seen as {key!r}: {value!r}, now {found!r}")
    kept = collections.defaultdict(list)
    for (partition, offset), (key, _) in log.items():
        kept[partition, key].append(offset)
    for (partition, key), (offset, value) in newest.items():
        offsets = kept[partition, key]
        if any(offset <= later for later in offsets):
            continue
        if value is not None:
            yield Anomaly("lost", f"{partition}@{offset} {key!r}: {value!r} has no newer record")
        elif offsets:
            yield Anomaly("resurrected", f"{partition}: {key!r} was deleted at {offset}, {max(offsets)} is there")


def _order_of_keys(history):
    """The records of a key are in the order in which they were sent, each once."""
    for partition, records in history.keyed_log.items():
        newest = {}
        for offset, key, value in records:
            if value is None:
                continue
            number = int(value.split()[1])
            if number == newest.get(key):
                yield Anomaly("duplicated", f"{partition}@{offset}: {key!r}: {value!r}")
            elif number < newest.get(key, -1):
                yield Anomaly("reordered", f"{partition}@{offset}: {key!r}: {value!r} after {newest[key]}")
            newest[key] = number
