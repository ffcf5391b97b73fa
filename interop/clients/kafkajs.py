"""kafkajs, as a producer; as a consumer it is a member of a group, which is tested with groups."""

import json
import pathlib
import subprocess

from flights import HOME

SCRIPT = pathlib.Path(__file__).with_name("kafkajs_producer.js")
ADMIN = SCRIPT.with_name("kafkajs_admin.js")
ENVIRONMENT = {
    **{"NODE_PATH": HOME / "node/node_modules", "KAFKAJS_NO_PARTITIONER_WARNING": "1"},
    **{"PATH": "/usr/bin:/bin:/usr/local/bin"},
}


def produce(bootstrap, topic, records, codec):
    """Writes all records; raises when the script fails."""
    lines = b"".join(key + b"\t" + value + b"\n" for key, value in records)
    subprocess.run(
        ["node", SCRIPT, bootstrap, topic, codec],
        input=lines,
        env=ENVIRONMENT,
        check=True,
        timeout=180,
    )


def administer(bootstrap, topic, group):
    """A day's work on a topic and a group: what the client was told."""
    line = ["node", ADMIN, bootstrap, topic, group]
    done = subprocess.run(line, env=ENVIRONMENT, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
