"""Progress bars of work that goes image by image, epoch by epoch or run by run: on a terminal, with time left.

rich is imported when a bar is shown: its import takes 0.1 s and draws from the global random state.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_silent = ContextVar("silent", default=False)
"""Whether the bars of what is being done are left out, because one around it is shown."""

EpochReport = Callable[[int, float], None]
"""Called after an epoch with the number of finished epochs and the mean loss of the last."""


@contextmanager
def image_bar(label: str | None, *, total: int, unit: str = "images") -> Generator[Callable[[], None]]:
    """A bar over images with their speed; silent without a label, off a terminal, or when there is nothing to do.

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
    if label is None or total == 0 or not _on_terminal():
        yield lambda: None
        return
    with _open_bar(label, total=total, unit=unit) as bar:

        def advance() -> None:
            task = bar.tasks[0]
            bar.update(task.id, advance=1, note=f"{task.speed:.1f} {unit}/s" if task.speed else "")

        yield advance


@contextmanager
def epoch_bar(label: str, *, total: int) -> Generator[EpochReport]:
    """A bar over epochs with the loss beside it; silent off a terminal.

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
        yield lambda _finished, _loss: None
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
