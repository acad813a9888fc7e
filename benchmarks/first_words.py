"""How long every command is silent before its first word, and how long a mistake and a page of help take.

Seconds from the start of the process to the first byte on standard output or error, which are pipes, and for mistakes
and help to the end; best of `REPEATS` runs. A command is stopped at its first word. Other work on the machine lengthens
the wall clock, so the CPU time of the process on one thread is given beside it: what an idle core would take, without
its waiting for the disk. Another checkout is measured beside this one by its folder.

Run:    .venv/bin/python benchmarks/first_words.py                              (about 3 minutes)
        .venv/bin/python benchmarks/first_words.py --checkout FOLDER --as before
        .venv/bin/python benchmarks/first_words.py --smoke                      (one run each, writes nothing)
Expect: a first word within 0.3 s, a mistake named within 0.5 s, help within 0.4 s on idle cores
Writes: benchmarks/results/first_words.json
"""

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.worlds.discrete import smoking
from cdc.files import write_json

HERE = Path(__file__).parent
RESULT = HERE / "results" / "first_words.json"
REPEATS = 3
PATIENCE = 25.0
"""Seconds after which a command that has said nothing is given up; the number is then a lower bound."""

ASKED = ("--treatment", "X", "--outcome", "Y")
WORK = {
    "adapt": ("adapt", "picto/mammals", "--out", "OUT"),
    "predict": ("predict", "ADAPTER", "IMAGE"),
    "evaluate": ("evaluate", "ADAPTER", "picto/mammals"),
    "diagnose": ("diagnose", "picto/mammals", "--out", "OUT"),
    "embed": ("embed", "picto/mammals", "--backbone", "picto", "--out", "OUT"),
    "demo": ("demo", "--out", "OUT"),
    "protocol": ("protocol", "base-to-new", "--datasets", "picto/mammals", "--methods", "zero-shot", "--out", "OUT"),
    "estimate": ("estimate", "TABLE", "X -> S -> Y; X <-> Y", *ASKED),
    "identify": ("identify", "X -> S -> Y; X <-> Y", *ASKED),
}
MISTAKES = {
    "adapt, no such data": ("adapt", "no-such-folder", "--out", "OUT"),
    "adapt, no such method": ("adapt", "picto/mammals", "--out", "OUT", "--method", "no-such-method"),
    "adapt, no such option": ("adapt", "picto/mammals", "--out", "OUT", "--no-such-option"),
    "predict, no such adapter": ("predict", "no-such-adapter", "IMAGE"),
    "predict, no such image": ("predict", "ADAPTER", "no-such-image.jpg"),
    "evaluate, no such adapter": ("evaluate", "no-such-adapter", "picto/mammals"),
    "evaluate, no such data": ("evaluate", "ADAPTER", "no-such-folder"),
    "diagnose, no such data": ("diagnose", "no-such-folder", "--out", "OUT"),
    "embed, no such data": ("embed", "no-such-folder", "--backbone", "picto", "--out", "OUT"),
    "estimate, no such table": ("estimate", "no-such.csv", "X -> Y", *ASKED),
    "identify, no such graph": ("identify", "no-such.dot", *ASKED),
    "protocol, no such method": (
        "protocol",
        "few-shot",
        "--datasets",
        "picto/mammals",
        "--methods",
        "x",
        "--out",
        "OUT",
    ),
}
HELP = {
    name: (*arguments, "--help") for name, arguments in {"causalvlm": (), **{name: (name,) for name in WORK}}.items()
}


def prepare(folder: Path) -> dict[str, str]:
    """An adapter, an image and a table for the commands to take."""
    data = load_dataset("picto/mammals")
    cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto")).save(folder / "adapter")
    smoking().sample(2000, rng=0).to_csv(folder / "table.csv", index=False)
    places = {"ADAPTER": folder / "adapter", "IMAGE": data.test[0].path, "TABLE": folder / "table.csv"}
    return {name: str(path) for name, path in places.items()}


def run(arguments: tuple[str, ...], environment: dict[str, str], *, whole: bool) -> dict[str, float]:
    """Wall and CPU seconds to the first byte, or to the end of a `whole` run, or until patience ends."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "causalvlm", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
        cwd=environment["PYTHONPATH"],  # the folder that comes first
    )  # fmt: skip
    with selectors.DefaultSelector() as waiting, process.stdout as said:  # pyright: ignore[reportOptionalContextManager]
        waiting.register(said, selectors.EVENT_READ)
        while waiting.select(PATIENCE - (time.perf_counter() - start)) and whole and os.read(said.fileno(), 2**16):
            pass  # until it closes its output
        seconds = time.perf_counter() - start
        os.kill(process.pid, signal.SIGKILL)  # as Popen does it, but for its own waiting
        _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0  # it has been waited for
    return {"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime}


def measure(
    cases: dict[str, tuple[str, ...]], places: dict[str, str], environment: dict[str, str], *, whole: bool, repeats: int
) -> dict[str, dict[str, float]]:
    """The best of every case."""
    found: dict[str, dict[str, float]] = {}
    for name, words in cases.items():
        runs: list[dict[str, float]] = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as out:
                arguments = tuple({**places, "OUT": f"{out}/out"}.get(word, word) for word in words)
                runs.append(run(arguments, environment, whole=whole))
            if runs[-1]["seconds"] >= PATIENCE:
                break
        found[name] = {clock: round(min(one[clock] for one in runs), 3) for clock in ("seconds", "cpu_seconds")}
        print(f"{name:28s} {found[name]}", flush=True)
    return found


GROUPS = {"first_word": (WORK, False), "mistake": (MISTAKES, True), "help": (HELP, True)}


def main(arguments: argparse.Namespace) -> None:
    """Measure a checkout, and put its numbers beside those of the others after every group."""
    environment = {**os.environ, "PYTHONPATH": str(arguments.checkout.resolve()), "OMP_NUM_THREADS": "1"}
    repeats = 1 if arguments.smoke else REPEATS
    with tempfile.TemporaryDirectory() as folder:
        places = prepare(Path(folder))
        for group in arguments.groups:
            cases, whole = GROUPS[group]
            found = measure(cases, places, environment, whole=whole, repeats=repeats)
            if arguments.smoke:
                continue
            result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
            result[arguments.label] = {**result.get(arguments.label, {}), group: found}
            about = {"repeats": REPEATS, "patience": PATIENCE, "provenance": cdc.provenance()}
            write_json(RESULT, {**result, **about})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=HERE.parent, help="folder of the packages to measure")
    parser.add_argument("--as", dest="label", default="now", help="name of its numbers in the result")
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="what to measure")
    parser.add_argument("--smoke", action="store_true", help="one run each, writes nothing")
    main(parser.parse_args())
