"""One request on which two brokers are compared."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Kept:
    """Stands in a request for what a case before it `keeps`."""

    name: str


@dataclasses.dataclass
class Case:
    """One request."""

    title: str
    api: str
    version: int
    request: typing.Any
    #: Each has its own; a request that waits for others blocks only its own.
    connection: str = "main"
    #: What later requests need: the name that they know it by, and the field of this answer.
    keeps: dict = dataclasses.field(default_factory=dict)
    #: Fields with the values that they must have: it is asked again until they do.
    until: dict = dataclasses.field(default_factory=dict)
    #: Whether the answer is awaited; if not, a case with the API `answer` takes it from the connection.
    waits: bool = True
    #: Whether the order of rows means something.
    in_order: bool = False
    #: Whether the answer must come before what it could wait for.
    prompt: bool = False
    #: The fields of the answer that are compared; all of them if there are none here.
    only: tuple = ()


def answer(title, connection, **fields):
    """The answer to a request that was sent on `connection`."""
    return Case(title, "answer", 0, None, connection, **fields)
