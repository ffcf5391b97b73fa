"""Apache Kafka's own command line tools (the Java clients)."""

import concurrent.futures
import subprocess

from digest import TopicDigest
from flights import HOME

TOOLS = "org.apache.kafka.tools."
NO_LOGS = "-Dlog4j2.level=ERROR"


def tool(name, *arguments, **options):
    """The command line of the tool class `name` below org.apache.kafka.tools (or a full name)."""
    main = name if name.startswith(("kafka.", "org.")) else TOOLS + name
    return _java("java", main, arguments)


def framework(main, *arguments):
    """The command line of a class of Kafka Streams or Kafka Connect."""
    return _java("frameworks", main, arguments)


def _java(jars, main, arguments):
    options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", NO_LOGS]
    return ["java", *options, "-cp", f"{HOME}/{jars}/*", main, *map(str, arguments)]


def run(name, *arguments, timeout=120, **options):
    """Runs a tool to its end; returns its standard output."""
    done = subprocess.run(
        tool(name, *arguments), capture_output=True, timeout=timeout, text=True, **options
    )
    assert done.returncode == 0, f"{name} {arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def produce(bootstrap, topic, records, codec):
    """Writes all records through the console producer."""
    lines = b"".join(key + b"\t" + value + b"\n" for key, value in records)
    done = subprocess.run(
        tool(
            "ConsoleProducer",
            "--bootstrap-server", bootstrap,
            "--topic", topic,
            "--compression-codec", codec,
            "--reader-property", "parse.key=true",
            "--reader-property", "key.separator=\t",
        ),  # fmt: skip
        input=lines,
        capture_output=True,
        timeout=180,
    )
    assert done.returncode == 0 and b"ERROR" not in done.stderr, done.stderr.decode()


def consume(bootstrap, topic, partitions, count):
    """Reads `count` records through console consumers, one for each partition."""
    ends = run("GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic, "--time", "latest")
    sizes = {int(p): int(end) for _, p, end in (line.rsplit(":", 2) for line in ends.split())}
    assert sum(sizes.values()) == count and len(sizes) == partitions, ends
    digest = TopicDigest()

    def read(partition):
        done = subprocess.run(
            tool(
                "consumer.ConsoleConsumer",
                "--bootstrap-server", bootstrap,
                "--topic", topic,
                "--partition", partition,
                "--offset", "earliest",
                "--max-messages", sizes[partition],
                "--timeout-ms", 60_000,
                "--formatter-property", "print.key=true",
                "--formatter-property", "key.separator=\t",
            ),  # fmt: skip
            capture_output=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr.decode()
        return partition, done.stdout

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for partition, output in pool.map(read, (p for p in sizes if sizes[p])):
            for line in output.splitlines():
                key, value = line.split(b"\t", 1)
                digest.add(partition, key, value)
    return digest
