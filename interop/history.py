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

    def operations(self):
        """How many things were seen before the end."""
        seen = (self.acknowledged, self.read, self.given, self.committed, self.told)
        return sum(map(len, seen))


Anomaly = collections.namedtuple("Anomaly", "kind detail")


def judge(history):
    """Everything that may not be, as a list of anomalies."""
    return [
        *_records(history),
        *_order(history),
        *_offsets_told(history),
        *_skipped(history),
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
