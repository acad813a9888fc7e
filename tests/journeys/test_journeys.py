"""Every journey is walked as it is written: its files saved, its lines typed, and what they must show looked for."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.belongings import BELONGINGS, ROOT

HERE = Path(__file__).parent
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROMPT = "$ "


@dataclass(frozen=True)
class Typed:
    """A line that a person types, the status that it must end with, and what it must show, in this order."""

    line: str
    status: int
    shown: tuple[str, ...]


def steps(page: str) -> Iterator[Typed | tuple[str, str]]:
    """The files of a journey, each with its name, and what is typed, in the order of the page."""
    for _, name, text in BLOCK.findall(page):
        if name:
            yield name, text
            continue
        for part in re.split(rf"^{re.escape(PROMPT)}", text, flags=re.MULTILINE)[1:]:
            line, *shown = part.splitlines()
            status = re.fullmatch(r"\[exit (\d)\]", shown[-1]) if shown else None
            yield Typed(line, int(status[1]) if status else 0, tuple(shown[:-1] if status else shown))


def missing(shown: tuple[str, ...], output: str) -> str | None:
    """The first expected line that does not follow, in order, within a line of the output; `...` is anything."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for expected in shown:
        pattern = re.compile(".*".join(re.escape(" ".join(part.split())) for part in expected.split("...")))
        if not any(pattern.search(line) for line in lines):
            return expected
    return None


def walk(page: str, place: Path) -> None:
    """Do what a journey says, in a folder of its own."""
    commands = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(
            place if (place / "cdc").exists() else ROOT
        ),  # the packages of this checkout, or of one's own
        "COLUMNS": "120",
    }
    for step in steps(page):
        if not isinstance(step, Typed):
            name, text = step
            (place / name).write_text(text)
            continue
        done = subprocess.run(
            ["bash", "-c", step.line],
            cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == step.status, f"{step.line}\n{done.stdout}"
        assert "Traceback" not in done.stdout, f"{step.line}\n{done.stdout}"
        lost = missing(step.shown, done.stdout)
        assert lost is None, f"{step.line}\nmust show {lost!r}, and showed\n{done.stdout}"


@pytest.mark.parametrize("name", BELONGINGS)
def test_journey(name, tmp_path):
    BELONGINGS[name](tmp_path)
    walk((HERE / f"{name}.md").read_text(), tmp_path)


def test_every_journey_is_walked():
    assert {page.stem for page in HERE.glob("*.md")} - {"README"} == set(BELONGINGS)


@pytest.mark.parametrize(
    "said", ["$ echo a; echo b\nb\na\n", "$ false\n", "$ true\n[exit 2]\n", "$ echo a\nb\n", "$ echo Traceback\n"]
)
def test_a_journey_that_goes_wrong_is_noticed(said, tmp_path):
    with pytest.raises(AssertionError):
        walk(f"```console\n{said}```\n", tmp_path)


def test_what_is_written_is_typed(tmp_path):
    typed = "$ cat a.txt; echo 'two three'\none\ntwo ...ree\n$ exit 3\n[exit 3]\n"
    page = f"```text a.txt\none\n```\n\n```console\n{typed}```\n"
    walk(page, tmp_path)
    assert list(steps(page))[1:] == [
        Typed("cat a.txt; echo 'two three'", 0, ("one", "two ...ree")),
        Typed("exit 3", 3, ()),
    ]
