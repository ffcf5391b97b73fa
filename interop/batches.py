"""Record batches by hand, right ones and wrong ones."""

import gzip
import struct
import time

CODECS = {"gzip": 1, "zstd": 4}
HOUR_MS = 3_600_000


def batch(values, timestamp="now", **changes):
    """A batch of these values; `changes` make it wrong. Its time may lie `ahead` or `behind`."""
    distances = {"ahead": 48 * HOUR_MS, "behind": -48 * HOUR_MS, "now": 0}
    if timestamp in distances:
        timestamp = int(time.time() * 1000) + distances[timestamp]
    records = b"".join(_record(index, value) for index, value in enumerate(values))
    return _around(records, len(values), timestamp, **changes)


def compressed(values, codec):
    """The same, compressed."""
    records = b"".join(_record(index, value) for index, value in enumerate(values))
    if codec == "gzip":
        records = gzip.compress(records, mtime=0)
    else:
        import zstandard

        records = zstandard.compress(records)
    return _around(records, len(values), int(time.time() * 1000), attributes=CODECS[codec])


def _record(index, value):
    body = b"\0" + _varint(0) + _varint(index) + _varint(-1) + _varint(len(value)) + value + _varint(0)
    return _varint(len(body)) + body


def _varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def _around(
    records,
    size,
    timestamp,
    base_offset=0,
    leader_epoch=-1,
    magic=2,
    crc=None,
    attributes=0,
    last_delta=None,
    producer=(-1, -1, -1),
    count=None,
):
    last_delta = size - 1 if last_delta is None else last_delta
    count = size if count is None else count
    body = struct.pack(">hiqq", attributes, last_delta, timestamp, timestamp)
    body += struct.pack(">qhii", *producer, count) + records
    crc = crc32c(body) if crc is None else crc
    head = struct.pack(">iBI", leader_epoch, magic, crc)
    return struct.pack(">qi", base_offset, len(head) + len(body)) + head + body


def crc32c(data):
    """CRC-32C, bit by bit as its definition has it, by table."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _entry(value):
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = [_entry(value) for value in range(256)]
