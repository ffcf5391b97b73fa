"""Processes that are members of a group, and what they said."""

import os
import pathlib
import re
import subprocess
import sys
import threading
import time

from clients import franz_go, java
from flights import HOME

MEMBERS = pathlib.Path(__file__).with_name("members")
JAVA_LINE = re.compile(rb"Partition:(\d+)\tOffset:(\d+)\t")


def command(kind, bootstrap, topic, group):
    """The command line of a member of this kind."""
    if kind == "kafkajs":
        return ["node", MEMBERS / "kafkajs_member.js", bootstrap, topic, group]
    if kind == "franz_go":
        return [franz_go.PROGRAM, "member", bootstrap, topic, group]
    if kind == "java":
        return java.tool(
            "consumer.ConsoleConsumer",
            "--bootstrap-server", bootstrap,
            "--topic", topic,
            "--group", group,
            "--from-beginning",
            "--formatter-property", "print.partition=true",
            "--formatter-property", "print.offset=true",
            "--command-property", "session.timeout.ms=6000",
            "--command-property", "heartbeat.interval.ms=500",
            "--command-property", "auto.commit.interval.ms=200",
            "--command-property", "partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor",
        )  # fmt: skip
    return [sys.executable, MEMBERS / f"{kind}_member.py", bootstrap, topic, group]


class Member(threading.Thread):
    """One process; `said` is a list of (nanoseconds, word, numbers)."""

    def __init__(self, kind, bootstrap, topic, group, log_path):
        super().__init__(daemon=True)
        self.kind = kind
        self.said = []
        environment = {
            **os.environ,
            "NODE_PATH": str(HOME / "node/node_modules"),
            "KAFKAJS_NO_PARTITIONER_WARNING": "1",
        }
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                list(map(str, command(kind, bootstrap, topic, group))),
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        self.start()

    def run(self):
        for line in self.process.stdout:
            if self.kind == "java":
                # Java's console says only what it read, and when is when we hear of it.
                found = JAVA_LINE.search(line)
                if found:
                    self.said.append((time.monotonic_ns(), "read", [int(n) for n in found.groups()]))
                continue
            at, word, *numbers = line.split()
            if word != b"failed":
                self.said.append((int(at), word.decode(), [int(n) for n in numbers]))

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.join(10)

    def read_since(self, at):
        """The partitions that were read from after `at`."""
        return {said[2][0] for said in list(self.said) if said[1] == "read" and at < said[0]}

    def last_words(self):
        log = self.log_path.read_text(errors="replace")[-2000:]
        return f"{self.kind}: {self.said[-5:]} {log}"
