"""Kill commands at random moments and run them again: nothing may be lost, and the same command must finish.

    python -m tests.robustness.kills --json FILE

Every trial has a folder and a cache of its own. Its command is killed without warning up to four times, each time
begun again as it was, and then left alone; what it wrote is compared with what an undisturbed run wrote, byte for
byte but for times, and nothing else may lie there. Commands run in processes forked from one that has imported
everything, so that most kills hit work. Exit 1 if anything falls short.
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from tests.robustness.torture import import_everything, run_as_child

PICTURES = "pictures"
OUT, COPY = "out", "copy.json"
COMMANDS = {
    "adapt": (
        "adapt", PICTURES, "--factors", "domain/class", "--shots", "4", "--epochs", "8", "--set", "templates=2",
        "--out", OUT, "--json", COPY,
    ),
    "diagnose": ("diagnose", PICTURES, "--factors", "domain/class", "--folds", "3", "--out", OUT, "--json", COPY),
    "protocol": (
        "protocol", "base-to-new", "--datasets", f"{PICTURES}/dark", f"{PICTURES}/light", "--methods", "zero-shot",
        "coop", "cdc", "--seeds", "1", "2", "--shots", "4", "--epochs", "4", "--workers", "2", "--out", OUT,
        "--json", COPY,
    ),
    "demo": ("demo", "--out", OUT, "--json", COPY),
}  # fmt: skip
KILLS = {"adapt": 100, "diagnose": 40, "protocol": 50, "demo": 10}
MOST_IN_A_ROW = 4
TIMES = frozenset({"seconds", "peak_memory", "sha256"})
"""What differs between two runs of the same command: times, memory, and the checksum of a card with a time in it."""

TIMINGS = "timings.csv"
TOLD = re.compile(rb" in \d+ s;")
"""A time in a report."""


@dataclass
class Count:
    """What became of the kills of a command.

    Attributes:
        kills: how many.
        finished: trials that were left alone in the end.
        done: kills that came when all was written, after which there is nothing to begin again.
        lost: trials that ended in other bytes than the undisturbed run, or with something left over.
        refused: runs after a kill that ended in an error.
    """

    kills: int = 0
    finished: int = 0
    done: int = 0
    lost: int = 0
    refused: int = 0


def make_pictures(root: Path) -> None:
    """domain/class folders, 2 x 4 x 12 noisy pictures."""
    rng = np.random.default_rng(0)
    for domain, light in {"dark": 60, "light": 190}.items():
        for name, tint in {"red": (60, 0, 0), "blue": (0, 0, 60), "green": (0, 60, 0), "grey": (0, 0, 0)}.items():
            folder = root / PICTURES / domain / name
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = light + np.array(tint) + rng.normal(0, 25, (32, 32, 3))
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{number:02d}.png")


def start(command: str, trial: Path) -> int:
    """Begin a command in a folder; the process that does it."""
    trial.mkdir(exist_ok=True)
    if (child := os.fork()) == 0:
        os.chdir(trial)
        os.environ["CAUSALVLM_CACHE"] = str(trial / "cache")
        if not Path(PICTURES).exists():
            Path(PICTURES).symlink_to(trial.parent / PICTURES)
        run_as_child(COMMANDS[command], Path("said.txt"), Path("error.txt"))
    return child


def end(child: int, seconds: float | None = None) -> int | None:
    """The exit status of a process; None if it had to be killed after some seconds."""
    limit = time.monotonic() + seconds if seconds is not None else None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if limit is not None and time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def content(trial: Path) -> dict[str, Any]:
    """What a command wrote, by file: plain values of JSON without its times, bytes of everything else."""
    return dict(_content(trial))


def _content(trial: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted((*(trial / OUT).rglob("*"), trial / COPY)):
        name = str(path.relative_to(trial))
        if not path.is_file():
            continue
        if path.suffix == ".json":
            yield name, _timeless(json.loads(path.read_bytes()))
        elif path.suffix == ".jsonl":
            yield name, [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
        else:
            yield name, None if path.name == TIMINGS else TOLD.sub(b"", path.read_bytes())


def _timeless(value: object) -> object:
    match value:
        case dict():
            return {name: _timeless(item) for name, item in value.items() if name not in TIMES}
        case list():
            return [_timeless(item) for item in value]
        case _:
            return value


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """In which file two folders differ; None if in none."""
    return next((name for name in {**wanted, **found} if found.get(name, 0) != wanted.get(name, 0)), None)


def kill(command: str, kills: int, rng: Random, root: Path) -> Count:
    """Kill a command so many times, and compare."""
    began = time.monotonic()
    whole = root / f"{command}-whole"
    if status := end(start(command, whole)):
        raise SystemExit(f"{command} must run; exit status {status}: {(whole / 'error.txt').read_text()[-500:]}")
    span, wanted = time.monotonic() - began, content(whole)
    print(f"{command}: {span:.1f} s undisturbed, {len(wanted)} files", flush=True)
    count = Count()
    while count.kills < kills:
        trial = root / f"{command}-{count.finished + count.done}"
        for _ in range(min(MOST_IN_A_ROW, kills - count.kills)):
            status = end(start(command, trial), rng.uniform(0, span))
            if status is not None:
                break
            count.kills += 1
            if difference(content(trial), wanted) is None:
                count.done += 1
                break  # nothing is left to begin again
        else:
            status = end(start(command, trial))
        if status:
            count.refused += 1
            print(f"{trial.name}: exit {status}: {(trial / 'error.txt').read_text()[-300:]}", flush=True)
        if status is not None:
            count.finished += 1
        if (name := difference(content(trial), wanted)) is not None:
            count.lost += 1
            print(f"{trial.name}: {name} differs", flush=True)
    return count


def try_all() -> int:
    """The command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--kills", type=int, help="of each command; by default 200 in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    import_everything()
    rng = Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder))
        counts = {
            name: kill(name, arguments.kills or KILLS[name], rng, Path(folder).resolve()) for name in arguments.commands
        }
    for name, count in counts.items():
        print(name, count)
    if arguments.json:
        record = {"seed": arguments.seed, "commands": {name: asdict(count) for name, count in counts.items()}}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")
    return 1 if any(count.lost or count.refused for count in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(try_all())
