"""Any request and response of Kafka 4.4, from the project's own message schemas.

A message is a dict by field name; fields that are left out have their default. What is read holds
every field of its version. Independent of the broker's generated code, on purpose.
"""

import dataclasses
import functools
import pathlib
import socket
import struct
import uuid

SCHEMAS = pathlib.Path(__file__).resolve().parent.parent / "schemas" / "api"
INTEGERS = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "int64": ">q"}
CLIENT_ID = b"parity"
NO_UUID = str(uuid.UUID(int=0))


class Versions:
    """`4`, `4-18` or `12+`; None is nothing."""

    def __init__(self, text):
        if text is None:
            self.low, self.high = 1, 0
        elif text.endswith("+"):
            self.low, self.high = int(text[:-1]), 32767
        else:
            low, _, high = text.partition("-")
            self.low, self.high = int(low), int(high or low)

    def __contains__(self, version):
        return self.low <= version <= self.high


@dataclasses.dataclass
class Field:
    """A field of a message or of a struct in it."""

    name: str
    type: str
    versions: Versions
    options: dict
    fields: list = dataclasses.field(default_factory=list)

    @property
    def tag(self):
        return int(self.options["tag"]) if "tag" in self.options else None

    def is_nullable(self, version):
        versions = self.options.get("null")
        return versions is not None and (versions is True or version in Versions(versions))

    def default(self):
        """Its value where nobody sets it."""
        default = self.options.get("default")
        if default == "null":
            return None
        if self.type.startswith("[]"):
            return []
        if self.type in INTEGERS:
            return int(default or "0", 0)
        zeros = {"bool": default == "true", "float64": 0.0, "uuid": NO_UUID}
        zeros |= {"string": default or "", "bytes": b"", "records": None}
        return zeros.get(self.type, {})


@dataclasses.dataclass
class Schema:
    """A request or a response."""

    key: int
    versions: Versions
    flexible: Versions
    fields: list


@functools.cache
def schemas():
    """Every request and response, by (`request` or `response`, name without that word)."""
    found = {}
    for path in sorted(SCHEMAS.rglob("*.schema")):
        for schema, kind, name in _read(path.read_text()):
            found[kind, name.removesuffix(kind.capitalize())] = schema
    return found


def _read(text):
    schema, shared, stack = None, {}, []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        if depth == 0 and words[0] in ("request", "response"):
            options = dict(word.split("=") for word in words[4:] if "=" in word)
            schema = Schema(int(words[1]), Versions(words[3]), Versions(options.get("flexible")), [])
            shared = {}
            stack = [schema.fields]
            yield schema, words[0], words[2]
        elif depth == 0 and words[0] == "struct":
            stack = [shared.setdefault(words[1], [])]
        elif depth == 0:
            stack = []
        elif stack:
            options = {}
            for word in words[3:]:
                name, equals, value = word.partition("=")
                options[name] = value if equals else True
            name, kind = words[0], words[1]
            field = Field(name, kind, Versions(words[2]), options)
            base = kind.removeprefix("[]")
            if base not in (*INTEGERS, *"bool float64 uuid string bytes records".split()):
                field.fields = shared.setdefault(base, field.fields)
            del stack[depth:]
            stack[depth - 1].append(field)
            stack.append(field.fields)


class Writer:
    """Bytes of one version."""

    def __init__(self, version, flexible):
        self.version, self.flexible, self.out = version, flexible, bytearray()

    def varint(self, value):
        while value > 0x7F:
            self.out.append(value & 0x7F | 0x80)
            value >>= 7
        self.out.append(value)

    def length(self, length, wide):
        """-1 is null."""
        if self.flexible:
            self.varint(length + 1)
        else:
            self.out += struct.pack(">i" if wide else ">h", length)

    def struct(self, fields, values):
        unknown = set(values) - {field.name for field in fields}
        assert not unknown, f"no such fields: {unknown}"
        tagged = {}
        for field in fields:
            if self.version not in field.versions:
                continue
            value = values.get(field.name, field.default())
            if field.tag is None:
                self.value(field, field.type, value)
            elif value != field.default():
                tagged[field.tag] = (field, value)
        if self.flexible:
            self.varint(len(tagged))
            for tag, (field, value) in sorted(tagged.items()):
                inner = Writer(self.version, True)
                inner.value(field, field.type, value)
                self.varint(tag)
                self.varint(len(inner.out))
                self.out += inner.out

    def value(self, field, kind, value):
        if kind.startswith("[]"):
            self.length(-1 if value is None else len(value), wide=True)
            for item in value or []:
                self.value(field, kind[2:], item)
        elif kind in INTEGERS:
            self.out += struct.pack(INTEGERS[kind], value)
        elif kind == "bool":
            self.out.append(bool(value))
        elif kind == "float64":
            self.out += struct.pack(">d", value)
        elif kind == "uuid":
            self.out += uuid.UUID(value).bytes
        elif kind in ("string", "bytes", "records"):
            data = value.encode() if isinstance(value, str) else value
            self.length(-1 if data is None else len(data), wide=kind != "string")
            self.out += data or b""
        else:
            # Elements of a nullable array are never null themselves.
            if kind == field.type and field.is_nullable(self.version):
                self.out.append(0xFF if value is None else 1)
            if value is not None:
                self.struct(field.fields, value)


class Reader:
    """Values out of the bytes of one version."""

    def __init__(self, data, version, flexible):
        self.data, self.at, self.version, self.flexible = data, 0, version, flexible

    def take(self, size):
        assert 0 <= size <= len(self.data) - self.at, "the response is too short"
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, wide):
        if self.flexible:
            return self.varint() - 1
        return self.number(">i" if wide else ">h")

    def struct(self, fields):
        present = [field for field in fields if self.version in field.versions]
        values = {}
        for field in present:
            if field.tag is None:
                values[field.name] = self.value(field, field.type)
            else:
                values[field.name] = field.default()
        if self.flexible:
            by_tag = {field.tag: field for field in present}
            for _ in range(self.varint()):
                tag = self.varint()
                data = self.take(self.varint())
                field = by_tag[tag]
                values[field.name] = Reader(data, self.version, True).value(field, field.type)
        return values

    def value(self, field, kind):
        if kind.startswith("[]"):
            length = self.length(wide=True)
            return None if length < 0 else [self.value(field, kind[2:]) for _ in range(length)]
        if kind in INTEGERS:
            return self.number(INTEGERS[kind])
        if kind == "bool":
            return self.take(1) != b"\0"
        if kind == "float64":
            return self.number(">d")
        if kind == "uuid":
            return str(uuid.UUID(bytes=bytes(self.take(16))))
        if kind in ("string", "bytes", "records"):
            length = self.length(wide=kind != "string")
            data = None if length < 0 else bytes(self.take(length))
            return data.decode() if kind == "string" and data is not None else data
        is_nullable = kind == field.type and field.is_nullable(self.version)
        if is_nullable and self.number(">b") < 0:
            return None
        return self.struct(field.fields)


class Closed(Exception):
    """The broker closed the connection instead of an answer."""


class Silent(Exception):
    """The broker does not answer."""


class Client:
    """One connection to a broker, one request at a time."""

    def __init__(self, bootstrap, timeout=30, client_id=CLIENT_ID):
        host, _, port = bootstrap.rpartition(":")
        self.address, self.timeout, self.client_id = (host, int(port)), timeout, client_id
        self.socket = None
        self.correlation_id = 0

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def call(self, name, version, request=None):
        """The answer as a dict; raises `Closed`."""
        self.send(name, version, request)
        return self.receive(name, version)

    def send(self, name, version, request=None):
        """Sends a request; `receive` gives the answer. One at a time."""
        schema = schemas()["request", name]
        is_flexible = version in schema.flexible
        writer = Writer(version, is_flexible)
        writer.struct(schema.fields, request or {})
        self.exchange(schema.key, version, is_flexible, bytes(writer.out), answered=False)

    def receive(self, name, version):
        """The answer to what was sent."""
        is_flexible = version in schemas()["request", name].flexible
        body = self._answer()
        response = schemas()["response", name]
        has_tags = is_flexible and name != "ApiVersions"
        reader = Reader(body, version, is_flexible)
        if has_tags:
            assert reader.varint() == 0, "tagged fields in a response header"
        answer = reader.struct(response.fields)
        assert reader.at == len(body), f"{len(body) - reader.at} bytes are left over"
        return answer

    def exchange(self, key, version, is_flexible, body, answered=True):
        """Sends a body of bytes; what comes back behind the correlation id."""
        self.correlation_id += 1
        header = struct.pack(">hhi", key, version, self.correlation_id)
        header += struct.pack(">h", len(self.client_id)) + self.client_id
        frame = header + (b"\0" if is_flexible else b"") + body
        try:
            if self.socket is None:
                self.socket = socket.create_connection(self.address, timeout=self.timeout)
            self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        except (ConnectionError, BrokenPipeError):
            self.close()
            raise Closed from None
        return self._answer() if answered else None

    def _answer(self):
        """What comes back behind the correlation id of the last request."""
        try:
            (size,) = struct.unpack(">i", self._receive(4))
            answer = self._receive(size)
        except (ConnectionError, BrokenPipeError):
            self.close()
            raise Closed from None
        except TimeoutError:
            self.close()
            raise Silent from None
        assert struct.unpack(">i", answer[:4])[0] == self.correlation_id
        return answer[4:]

    def _receive(self, size):
        received = b""
        while len(received) < size:
            part = self.socket.recv(size - len(received))
            if not part:
                raise ConnectionResetError
            received += part
        return received
