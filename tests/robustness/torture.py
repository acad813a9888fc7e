"""Try malformed inputs on the commands: each must end in 0, 2 or 3, in a line, in 10 seconds of work and 2 GB.

    python -m tests.robustness.torture --count 1200 --json FILE

Every case runs in a process of its own, forked from one that has imported everything, so that a case takes no longer
than its work. What falls short is listed with the command that repeats it; exit 1 if anything does.
"""

import argparse
import importlib
import json
import os
import pkgutil
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import NoReturn

import numpy as np
from PIL import Image

import causalvlm
import cdc
from causalvlm.__main__ import main
from tests.robustness.corpus import KINDS, Bench, Case, draw

ALLOWED = (0, 2, 3)
"""Success, a user's mistake, a refusal that is a result."""

DOCTOR_ALLOWED = (0, 1, 2)
"""The doctor exits with 1 where something is missing."""

ANSWERS = ("predict", "evaluate", "estimate")
"""Commands that print numbers."""

SECONDS, BYTES, PATIENCE = 10.0, 2 * 2**30, 120


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Attributes:
        case: what was tried.
        status: exit status; None if it was killed.
        seconds: of work of the processor.
        peak: resident bytes.
        error: what it wrote to standard error.
        defect: why that is not good enough; None if it is.
    """

    case: Case
    status: int | None
    seconds: float
    peak: int
    error: str
    defect: str | None


def prepare(root: Path) -> Bench:
    """An adapter of two classes, its pictures, and a table in which the front door is open."""
    rng = np.random.default_rng(0)
    for name, colour in (("red thing", (220, 40, 40)), ("blue thing", (40, 40, 220))):
        folder = root / "images" / name
        folder.mkdir(parents=True)
        for number in range(6):
            noise = rng.integers(-30, 30, (24, 24, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    hidden = rng.normal(size=200)
    x = (hidden + rng.normal(size=200) > 0).astype(int)
    s = x + rng.normal(size=200)
    y = s + hidden + rng.normal(size=200)
    lines = ["X,S,Y", *(f"{a},{b:.4f},{c:.4f}" for a, b, c in zip(x, s, y, strict=True))]
    (root / "table.csv").write_text("\n".join(lines))
    command = ["adapt", str(root / "images"), "--shots", "2", "--epochs", "1", "--out", str(root / "adapter")]
    subprocess.run([sys.executable, "-m", "causalvlm", *command], check=True, capture_output=True)
    (root / "scratch").mkdir()
    return Bench(root / "adapter", root / "images", root / "table.csv", root / "scratch")


def import_everything() -> None:
    """What the commands import when they need it: done once, before the processes fork."""
    for package in (cdc, causalvlm):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def attempt(case: Case, folder: Path) -> Outcome:
    """Run a case in a process of its own, and judge it."""
    out, err = folder / "out.txt", folder / "err.txt"
    if (child := os.fork()) == 0:
        run_as_child(case.arguments, out, err)
    end = time.monotonic() + PATIENCE
    while True:
        done, wait_status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            _, wait_status, usage = os.wait4(child, 0)
            break
        time.sleep(0.005)
    status = os.waitstatus_to_exitcode(wait_status)
    error = err.read_text(errors="replace")
    seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    outcome = Outcome(case, status if status >= 0 else None, seconds, peak, error, None)
    return Outcome(**{**vars(outcome), "defect": judge(outcome, out.read_text(errors="replace"))})


def run_as_child(arguments: Sequence[str], out: Path, err: Path) -> NoReturn:
    """Run a command in this forked process, which ends with it."""
    for stream, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 70
    try:
        sys.argv = ["causalvlm", *arguments]
        main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 70
    except BaseException:  # a traceback is what is looked for
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def judge(outcome: Outcome, said: str) -> str | None:
    """What is wrong with how a case ended; None if nothing is."""
    command = outcome.case.arguments[0]
    lines = [line for line in outcome.error.splitlines() if line.strip()]
    warned = [line for line in lines if re.search(r"\w+Warning: ", line)]
    begun = [line for line in lines if line.startswith("causalvlm: ") and line.endswith(" ...")]
    told = sum(line.startswith("causalvlm: ") and "causalvlm: warning: " not in line for line in lines) - len(begun)
    faults = {
        f"killed by a signal, or not over after {PATIENCE} s": outcome.status is None,
        f"a traceback: {lines[-1:]}": "Traceback (most recent call last)" in outcome.error,
        f"exit status {outcome.status}": outcome.status not in (DOCTOR_ALLOWED if command == "doctor" else ALLOWED),
        f"not one line that says what is wrong: {lines[:3]}": outcome.status == 2 and told != 1,
        f"a raw warning: {warned[:1]}": bool(warned),
        "nan as an answer": outcome.status == 0 and command in ANSWERS and re.search(r"\bnan\b", said) is not None,
        f"{outcome.seconds:.0f} s of work": outcome.seconds > SECONDS,
        f"{outcome.peak / 2**30:.1f} GB of memory": outcome.peak > BYTES,
    }
    return next((fault[:300] for fault, found in faults.items() if found), None)


def torture(count: int, seed: int, root: Path, kinds: Sequence[str] = tuple(KINDS)) -> list[Outcome]:
    """Draw `count` cases, the families in turn, and try each."""
    bench = prepare(root)
    import_everything()
    rng = Random(seed)
    outcomes: list[Outcome] = []
    for number in range(count):
        case = draw(kinds[number % len(kinds)], rng, bench)
        outcomes.append(attempt(case, root))
        if outcomes[-1].defect:
            print(f"{case.kind}, {case.name!r}: {outcomes[-1].defect}\n    {list(case.arguments)}", flush=True)
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Counts by family, and the most that any case took."""
    families: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        families[outcome.case.kind].append(outcome)
    return {
        kind: {
            "tried": len(members),
            "answered": sum(member.status == 0 for member in members),
            "refused": sum(member.status in (2, 3) for member in members),
            "defects": sum(member.defect is not None for member in members),
            "largest_seconds": max(member.seconds for member in members),
            "largest_bytes": max(member.peak for member in members),
        }
        for kind, members in families.items()
    }


def try_all() -> int:
    """The command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = torture(arguments.count, arguments.seed, Path(folder), arguments.kinds)
    found = summary(outcomes)
    for kind, row in found.items():
        print(kind, row)
    defects = [{**asdict(outcome.case), "defect": outcome.defect} for outcome in outcomes if outcome.defect]
    if arguments.json:
        record = {"seed": arguments.seed, "count": arguments.count, "families": found, "defects": defects}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(try_all())
