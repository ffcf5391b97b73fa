#!/usr/bin/env python3
"""Chooses from what proxy.py kept: curate.py FRAMES API_NAMES OUT_DIR

API_NAMES is a file of `key name` lines. Of every client, API, version and direction the smallest frame
is kept and the largest of at most LARGE bytes. One text file per API comes out.
"""

import collections
import pathlib
import re
import sys

LARGE = 3000

# What clients call themselves, and what we call them.
CLIENTS = [
    ("apache-kafka-java", "java"),
    ("librdkafka", "librdkafka"),
    ("confluent", "librdkafka"),
    ("aiokafka", "aiokafka"),
    ("kafka-python", "kafka-python"),
    ("kafkajs", "kafkajs"),
]


def family(name):
    for pattern, client in CLIENTS:
        if pattern in name:
            return client
    return "java" if re.match(r"(console|producer|consumer|admin|broker|raft|\d)", name) else name


def main(frames, names, out):
    names = dict(line.split() for line in open(names))
    groups = collections.defaultdict(set)
    for line in open(frames):
        name, direction, key, version, text = line.split()
        groups[names[key], int(version), direction, family(name)].add(text)
    files = collections.defaultdict(list)
    for (api, version, direction, client), texts in sorted(groups.items()):
        ordered = sorted(texts, key=lambda t: (len(t), t))
        large = [t for t in ordered if len(t) <= 2 * LARGE] or ordered[:1]
        for text in dict.fromkeys([ordered[0], large[-1]]):
            files[api].append(f"{direction} {version} {client} {text}\n")
    for api, lines in files.items():
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", api).lower()
        (pathlib.Path(out) / f"{snake}.txt").write_text("".join(lines))


main(*sys.argv[1:])
