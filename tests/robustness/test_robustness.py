"""A few malformed inputs of every family and a few kills, in processes of their own; `make torture` tries more."""

import json
import os
import subprocess
import sys

import pytest

from tests.robustness.corpus import Case
from tests.robustness.kills import OUT, content, difference
from tests.robustness.torture import Outcome, judge


def test_a_few_of_every_family_are_survived_or_refused_in_a_line(tmp_path):
    file = tmp_path / "outcomes.json"
    command = [sys.executable, "-m", "tests.robustness.torture", "--count", "48", "--seed", "7", "--json", str(file)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    record = json.loads(file.read_text()) if file.exists() else {"defects": done.stderr}
    assert record["defects"] == [], done.stdout
    assert sum(family["tried"] for family in record["families"].values()) == 48


def test_a_few_kills_lose_nothing_and_the_same_command_finishes(tmp_path):
    file = tmp_path / "kills.json"
    arguments = ["--commands", "adapt", "diagnose", "--kills", "4", "--seed", "7", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.robustness.kills", *arguments],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(file.read_text())["commands"]
    assert [count["kills"] for count in counts.values()] == [4, 4]


def test_what_a_kill_lost_is_seen(tmp_path):
    for trial, byte in (("whole", b"1"), ("lost", b"2"), ("same", b"1")):
        (tmp_path / trial / OUT).mkdir(parents=True)
        (tmp_path / trial / OUT / "adapter.safetensors").write_bytes(byte)
        (tmp_path / trial / OUT / "card.json").write_text(json.dumps({"training": {"seconds": len(trial)}, "seed": 1}))
    whole, lost, same = (content(tmp_path / trial) for trial in ("whole", "lost", "same"))
    assert difference(same, whole) is None
    assert difference(lost, whole) == f"{OUT}/adapter.safetensors"
    (tmp_path / "same" / OUT / ".in-use").touch()
    assert difference(content(tmp_path / "same"), whole) == f"{OUT}/.in-use"


def outcome(status=0, error="", seconds=1.0, peak=2**20, command="predict") -> Outcome:
    return Outcome(Case("images", "none", (command,)), status, seconds, peak, error, None)


@pytest.mark.parametrize(
    ("ended", "said", "defect"),
    [
        (outcome(), "cat 0.9", None),
        (outcome(2, "causalvlm: a picture must be one.\n"), "", None),
        (outcome(None), "", "killed"),
        (outcome(1), "", "exit status 1"),
        (outcome(1, command="doctor"), "", None),
        (outcome(70, "Traceback (most recent call last)\nValueError: 1"), "", "a traceback"),
        (outcome(2), "", "not one line"),
        (outcome(2, "causalvlm: a.\ncausalvlm: b.\n"), "", "not one line"),
        (outcome(error="x.py:1: UserWarning: large\n"), "", "a raw warning"),
        (outcome(), "cat nan", "nan as an answer"),
        (outcome(seconds=11), "", "11 s of work"),
        (outcome(peak=3 * 2**30), "", "3.0 GB of memory"),
    ],
)
def test_judgement(ended, said, defect):
    found = judge(ended, said)
    assert found is None if defect is None else found.startswith(defect)
