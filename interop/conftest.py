"""Fixtures of the interoperability tests."""

import itertools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import broker as broker_module  # noqa: E402

_names = itertools.count()


@pytest.fixture(scope="module")
def broker():
    """A durable broker with four partitions a topic, shared by the tests of a module."""
    with broker_module.running({"num.partitions": 4}) as running:
        yield running


@pytest.fixture
def topic():
    """A topic name nobody has used."""
    return f"flights-{next(_names)}"


def pytest_terminal_summary(terminalreporter):
    """Kafka people look for figures at the end."""
    for line in FIGURES:
        terminalreporter.write_line(line)


FIGURES = []


@pytest.fixture
def figure():
    """Notes a measured figure for the end of the run."""
    return FIGURES.append
