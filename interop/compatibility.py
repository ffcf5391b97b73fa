"""Which client asked what, in which version: counted by the brokers of the tests, written to docs/compatibility.md.

    python compatibility.py          writes the page from compatibility.json and docs/compatibility.in.md

`compatibility.json` is what a test run saw. With `OTTLA_UPDATE_COMPATIBILITY=1` a run writes it anew.
"""

import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
RECORDED = HERE / "compatibility.json"
TEMPLATE = HERE.parent / "docs/compatibility.in.md"
PAGE = HERE.parent / "docs/compatibility.md"
MARK = "<!-- the table made from the tests -->"

#: What clients call themselves (their client id, if they do not say what they are), and what people call them.
CLIENTS = [
    (r"apache-kafka-java|kafka-java|adminclient-.*|console-.*|consumer-.*|producer-.*", "Java"),
    (r"confluent-kafka-python", "confluent-kafka"),
    (r"librdkafka|rdkafka", "kcat"),
    (r"kgo", "franz-go"),
    (r"aiokafka.*", "aiokafka"),
    (r"kafka-python.*", "kafka-python"),
    (r"kafkajs.*", "kafkajs"),
    (r"ottla.*", "ottla"),
]
#: Said by nobody but the tests' own requests.
OURS = {"interop", "test", ""}

_LINE = re.compile(r"^ottla_client_requests_total\{(.*)\} \d+$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

#: Everything seen in this run: (client, api, version) triples.
SEEN = set()


def client_of(name):
    """What people call the client; `None` for the tests' own requests."""
    for pattern, client in CLIENTS:
        if re.fullmatch(pattern, name):
            return client
    return None


def collect(metrics):
    """Takes in what a broker's /metrics says."""
    for line in _LINE.findall(metrics):
        labels = dict(_LABEL.findall(line))
        client = client_of(labels["name"])
        if client:
            SEEN.add((client, labels["api"], int(labels["api_version"])))


def recorded():
    """The triples that a whole run saw."""
    rows = json.loads(RECORDED.read_text())
    return {(client, api, version) for client, apis in rows.items() for api, versions in apis.items() for version in versions}


def record(seen):
    """Keeps `seen` for the page."""
    rows = {}
    for client, api, version in sorted(seen):
        rows.setdefault(client, {}).setdefault(api, []).append(version)
    lines = (f"{json.dumps(client)}: {json.dumps(apis)}" for client, apis in rows.items())
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def page():
    """The page with the recorded table in it."""
    rows = json.loads(RECORDED.read_text())
    clients = sorted(rows, key=str.lower)
    apis = sorted({api for apis in rows.values() for api in apis})
    lines = ["| API | " + " | ".join(clients) + " |", "|---" * (len(clients) + 1) + "|"]
    for api in apis:
        cells = (_ranges(rows[client].get(api, [])) for client in clients)
        lines.append(f"| {api} | " + " | ".join(cells) + " |")
    return TEMPLATE.read_text().replace(MARK, "\n".join(lines))


def _ranges(versions):
    """Versions in few words: 0-2, 5."""
    runs = []
    for version in sorted(versions):
        if runs and runs[-1][1] == version - 1:
            runs[-1][1] = version
        else:
            runs.append([version, version])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


if __name__ == "__main__":
    PAGE.write_text(page())
