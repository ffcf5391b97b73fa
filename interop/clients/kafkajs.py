"""kafkajs, as a producer; as a consumer it is a member of a group, which is tested with groups."""

import pathlib
import subprocess

from flights import HOME

SCRIPT = pathlib.Path(__file__).with_name("kafkajs_producer.js")


def produce(bootstrap, topic, records, codec):
    """Writes all records; raises when the script fails."""
    lines = b"".join(key + b"\t" + value + b"\n" for key, value in records)
    subprocess.run(
        ["node", SCRIPT, bootstrap, topic, codec],
        input=lines,
        env={"NODE_PATH": HOME / "node/node_modules", "KAFKAJS_NO_PARTITIONER_WARNING": "1", "PATH": "/usr/bin:/bin:/usr/local/bin"},
        check=True,
        timeout=180,
    )
