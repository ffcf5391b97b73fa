"""The crash loop for a minute; and its judge, held against histories with each thing that may not be."""

import copy
import os
import time

import pytest

import crash_loop
from history import History, judge

SECONDS = float(os.environ.get("OTTLA_CRASH_LOOP_SECONDS", 60))


def test_nothing_is_lost_in_a_crash_loop(tmp_path, figure):
    seed = int(os.environ.get("OTTLA_SEED", time.time_ns() % 1_000_000 + 1))
    print(f"OTTLA_SEED={seed}")
    run = crash_loop.run(SECONDS, seed, tmp_path)
    assert not run.anomalies, run.anomalies[:10]
    assert run.kills and run.history.committed and run.history.told and run.history.read
    # The cleaner has been at work, else nothing is said about it.
    assert run.history.keys_kept() * 2 < run.history.keys_written()
    figure(f"crash loop of {SECONDS:.0f} s: {crash_loop.describe(run)}")


# Key a was overwritten, key b deleted and written again, key c deleted and forgotten.
KEYED = [(0, b"a", b"1 0"), (1, b"b", None), (2, b"b", b"1 2"), (3, b"c", b"1 3"), (4, b"c", None), (5, b"a", b"1 5")]


def good():
    """Two producers, one partition, a group that commits twice."""
    records = [(0, b"1 0"), (1, b"2 0"), (2, b"1 1"), (3, b"2 1"), (4, b"1 2")]
    places = [(0, offset, value) for offset, value in records]
    return History(
        acknowledged=places[:4],
        read=list(places),
        given=[(0, 0), (0, 1), (0, 2), (0, 2), (0, 3)],
        committed=[(10, 0, 2), (30, 0, 4)],
        told=[(5, 6, 0, 0), (11, 12, 0, 2), (29, 32, 0, 2), (33, 34, 0, 4)],
        log={0: records},
        keyed_seen=[(0, o, key, value) for o, key, value in KEYED],
        keyed_log={0: [KEYED[1], KEYED[2], KEYED[5]]},
    )


def test_the_judge_finds_nothing_in_a_good_history():
    assert judge(good()) == []


def lost(history):
    history.log[0].pop()
    history.acknowledged.append((0, 4, b"1 2"))
    history.read.pop()


def read_and_lost(history):
    history.log[0].pop()


def given_and_lost(history):
    history.given.append((0, 9))


def duplicated(history):
    history.log[0].append((5, b"1 1"))


def reordered(history):
    history.log[0][0] = (0, b"1 1")
    history.log[0][2] = (2, b"1 0")
    history.acknowledged.clear()
    history.read.clear()


def changed(history):
    history.log[0][3] = (3, b"2 7")
    history.read.clear()


def read_and_changed(history):
    history.log[0][4] = (4, b"1 3")


def commit_lost(history):
    history.told.append((40, 41, 0, 3))
    # Nobody was told the newer one.
    history.told.remove((33, 34, 0, 4))


def taken_back(history):
    history.committed.pop()
    history.told.append((50, 51, 0, 3))


def skipped(history):
    history.given.remove((0, 3))


def newest_lost(history):
    history.keyed_log[0].remove(KEYED[5])
    history.keyed_log[0].insert(0, KEYED[0])


def tombstone_lost(history):
    history.keyed_log[0].insert(2, KEYED[3])


def key_changed(history):
    history.keyed_log[0][2] = (5, b"a", b"1 6")


def key_reordered(history):
    history.keyed_log[0].append((6, b"a", b"1 4"))


def key_duplicated(history):
    history.keyed_log[0].append((6, b"a", b"1 5"))


@pytest.mark.parametrize(
    "damage,kind",
    [
        (lost, "lost"),
        (read_and_lost, "lost"),
        (given_and_lost, "lost"),
        (duplicated, "duplicated"),
        (reordered, "reordered"),
        (changed, "changed"),
        (read_and_changed, "changed"),
        (commit_lost, "commit lost"),
        (taken_back, "offset taken back"),
        (skipped, "skipped"),
        (newest_lost, "lost"),
        (tombstone_lost, "resurrected"),
        (key_changed, "changed"),
        (key_reordered, "reordered"),
        (key_duplicated, "duplicated"),
    ],
)
def test_the_judge_finds_each_anomaly_and_no_other(damage, kind):
    history = copy.deepcopy(good())
    damage(history)
    assert {anomaly.kind for anomaly in judge(history)} == {kind}


def test_an_answer_that_was_under_way_is_no_anomaly():
    history = good()
    # Asked before the commit was answered, heard after it: the old offset is right.
    history.told.append((29, 60, 0, 2))
    assert judge(history) == []
