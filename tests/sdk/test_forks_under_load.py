"""A process that forks while its threads record: no child hangs, and nothing is lost or told twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

SCRIPT = """
import os, signal, threading, time
import agentscope

agentscope.configure()
agentscope.instrument()
ended, made = False, [0] * 8

def record(number):
    while not ended:
        with agentscope.turn("load"):
            made[number] += 1
        time.sleep(0)

writers = [threading.Thread(target=record, args=(number,)) for number in range(8)]
for writer in writers:
    writer.start()
for _ in range(12):
    child = os.fork()
    if not child:
        signal.alarm(20)  # a child that hangs is killed, and fails the test
        with agentscope.turn("child"):
            pass
        agentscope.shutdown(5)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
ended = True
for writer in writers:
    writer.join()
assert agentscope.shutdown(10)
print(sum(made))
"""


def test_forks_while_eight_threads_record(tmp_path: Path) -> None:
    """Each child's one turn in a file of its own; the parent's all accounted for."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT],
        env={**os.environ, "AGENTSCOPE_RUN_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    found = {
        file.stem: Counter(
            span["name"]
            for line in file.read_text().splitlines()
            for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
            if span["name"] in ("load", "child")
        )
        for file in tmp_path.glob("traces-*.jsonl")
    }
    assert sorted(counts["child"] for counts in found.values()) == [0] + [1] * 12
    [load] = [counts["load"] for counts in found.values() if counts["load"]]
    manifests = [json.loads(file.read_text()) for file in tmp_path.glob("manifest-*.json")]
    account = max((one["ledger"][0] for one in manifests), key=lambda one: one["created"])
    dropped = sum(account["dropped"].values())
    assert account["pending"] == 0
    assert account["created"] == account["delivered"] + dropped
    assert load <= int(ran.stdout) <= load + dropped  # a pause of the collector may be dropped too
