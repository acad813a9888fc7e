"""Progress of work that goes image by image, epoch by epoch or run by run: bars on a terminal, else lines of a command.

rich is imported when a bar is shown: its import takes 0.1 s and draws from the global random state.
"""

import itertools
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_silent = ContextVar("silent", default=False)
"""Whether the bars of what is being done are left out, because one around it is shown."""

_lines = ContextVar("lines", default=False)
"""Whether progress is told in lines where there is no terminal, as a command does and a notebook does not."""

FIRST_LINE, NEXT_LINE = 3.0, 15.0
"""Seconds of work before its first line, and between lines."""

EpochReport = Callable[[int, float], None]
"""Called after an epoch with the number of finished epochs and the mean loss of the last."""


@contextmanager
def image_bar(label: str | None, *, total: int, unit: str = "images") -> Generator[Callable[[], None]]:
    """A bar over images with their speed; silent without a label or when there is nothing to do.

    Args:
        label: what is going on.
        total: images to come.
        unit: what is counted, if not images.

    Yields:
        A function to call after each image.

    Example:
        >>> with image_bar("encoding", total=2) as advance:
        ...     advance()
    """
    if label is None or total == 0:
        yield lambda: None
        return
    if not _on_terminal():
        tell, steps = _teller(label, total, unit), itertools.count(1)
        yield lambda: tell(next(steps), "")
        return
    with _open_bar(label, total=total, unit=unit) as bar:

        def advance() -> None:
            task = bar.tasks[0]
            bar.update(task.id, advance=1, note=f"{task.speed:.1f} {unit}/s" if task.speed else "")

        yield advance


@contextmanager
def epoch_bar(label: str, *, total: int) -> Generator[EpochReport]:
    """A bar over epochs with the loss beside it.

    Args:
        label: what is being trained.
        total: epochs.

    Yields:
        A function to call with the number of finished epochs and the last mean loss.

    Example:
        >>> with epoch_bar("training CDC", total=2) as report:
        ...     report(1, 0.5)
    """
    if not _on_terminal():
        tell = _teller(label, total, "epochs")
        yield lambda finished, loss: tell(finished, f", loss {loss:.4f}")
        return
    with _open_bar(label, total=total, unit="epochs") as bar:
        yield lambda finished, loss: bar.update(bar.task_ids[0], completed=finished, note=f"loss {loss:.4f}")


@contextmanager
def run_bar(label: str, *, total: int) -> Generator[Callable[[str], None]]:
    """A bar over the runs of a grid, its lines above it; off a terminal the numbered lines alone, on standard error.

    Args:
        label: what is going on.
        total: runs to come.

    Yields:
        A function to call after each run with a line about it.

    Example:
        >>> with run_bar("base-to-new", total=0) as report:
        ...     pass
    """
    if total and _on_terminal():
        with _open_bar(label, total=total, unit="runs") as bar:

            def advance(line: str) -> None:
                bar.console.print(line, highlight=False)
                bar.advance(bar.task_ids[0])

            yield advance
        return
    finished = 0

    def write(line: str) -> None:
        nonlocal finished
        finished += 1
        sys.stderr.write(f"{label} {finished}/{total}: {line}\n")
        sys.stderr.flush()

    yield write


@contextmanager
def lines() -> Generator[None]:
    """Off a terminal, long work within tells now and then how far it is, in a line on standard error.

    Example:
        >>> with lines(), image_bar("encoding", total=2) as advance:
        ...     advance()
    """
    token = _lines.set(True)
    try:
        yield
    finally:
        _lines.reset(token)


@contextmanager
def silence() -> Generator[None]:
    """No bars within: for work that is a part of what another bar shows.

    Example:
        >>> with silence(), image_bar("encoding", total=2) as advance:
        ...     advance()
    """
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def _on_terminal() -> bool:
    return sys.stderr.isatty() and not _silent.get()


def _teller(label: str, total: int, unit: str) -> Callable[[int, str], None]:
    """Writes how much is finished, not too often; nothing unless a command asked for lines."""
    if not _lines.get() or _silent.get():
        return lambda _finished, _note: None
    due = time.monotonic() + FIRST_LINE

    def tell(finished: int, note: str) -> None:
        nonlocal due
        if time.monotonic() >= due and finished < total:
            due = time.monotonic() + NEXT_LINE
            sys.stderr.write(f"{label}: {finished:,} of {total:,} {unit}{note} ...\n")
            sys.stderr.flush()

    return tell


def _open_bar(label: str, *, total: int, unit: str) -> "Progress":
    """A bar on standard error with one task, whose field `note` is shown at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, markup=False, emoji=False),
    )  # fmt: skip
    bar.add_task(label, total=total, note="")
    return bar
