"""Ottla answers as Kafka 4.4 does: every request of `parity_cases.py` against the recording.

`parity-own.json` names the answers that are ours, what is in them and the reason.
"""

import json

import pytest

import broker as broker_module
import parity

RECORDED = json.loads(parity.RECORDED.read_text())
OWN = json.loads(parity.OWN.read_text())


@pytest.fixture(scope="module")
def answers():
    with broker_module.running(parity.SETTINGS) as running:
        return parity.answers(running.bootstrap)


def test_answers_are_kafkas_or_known_to_be_ours(answers):
    assert list(RECORDED) == list(answers), "the cases have changed: record again"
    assert all(row["why"] for row in OWN.values()), "every difference has a reason"
    found = parity.all_differences(RECORDED, answers)
    wrong = [
        f"{title}: {differs}\n    Kafka {RECORDED[title]}"
        for title, differs in found.items()
        if differs != OWN.get(title, {}).get("differs")
    ]
    assert not wrong, "\n".join(wrong)
    needless = [title for title in OWN if title not in found]
    assert not needless, "these are Kafka's answers: strike them"
