"""Ottla answers with Kafka 4.4's error codes: every request of `parity_cases.py` against the recording.

`parity-own.json` names the answers that are ours, each with the reason. Texts are not compared yet.
"""

import json

import pytest

import broker as broker_module
import parity

RECORDED = json.loads(parity.RECORDED.read_text())
OWN = json.loads(parity.OWN.read_text())


def codes(answer):
    """Every error code of an answer, and whether there was one at all."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name == "ErrorCode":
                yield str(value)
            else:
                yield from codes(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from codes(value)
    elif answer in (parity.CLOSED, parity.SILENT):
        yield answer


@pytest.fixture(scope="module")
def answers():
    settings = {"node.id": 1, "num.partitions": 4, "broker.rack": "rack1"}
    with broker_module.running(settings) as running:
        return parity.answers(running.bootstrap)


def test_error_codes_are_kafkas_or_known_to_be_ours(answers):
    assert list(RECORDED) == list(answers), "the cases have changed: record again"
    found = {title: sorted(codes(answer)) for title, answer in answers.items()}
    expected = {title: sorted(codes(answer)) for title, answer in RECORDED.items()}
    own = {title: sorted(row["codes"]) for title, row in OWN.items()}
    wrong = [
        f"{title}: {found[title]}, Kafka {expected[title]}"
        for title in found
        if found[title] != own.get(title, expected[title])
    ]
    assert not wrong, "\n".join(wrong)
    needless = [title for title in own if own[title] == expected[title]]
    assert not needless, "these are Kafka's answers: strike them"
