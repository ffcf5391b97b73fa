"""What a member of a group says: lines of a time and words, one for each thing that happened."""

import time


def say(*words):
    print(time.monotonic_ns(), *words, flush=True)
