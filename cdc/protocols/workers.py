"""Runs in parallel processes: one that fails or is killed stops no other, and none outlives the process it serves."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from cdc.backbones.backbone import Backbone, Precision
from cdc.backbones.loading import load_backbone
from cdc.errors import InputError
from cdc.progress import silence
from cdc.protocols.runs import Run, in_one_line, perform

WORKER_BYTES = 2 * 2**30
"""Memory that a worker is taken to need: a guess that is fair for small models."""

Line = Any
"""An end of a pipe, whose class differs between systems."""

Finished = Callable[[Run, str | None], None]
"""Called after each run with the reason why it failed, or None."""


@dataclass(frozen=True)
class Towers:
    """A backbone by name, for processes that load their own; see `cdc.load_backbone`."""

    name: str
    pretrained: str | None
    device: str
    precision: Precision

    def load(self) -> Backbone:
        """The backbone."""
        return load_backbone(self.name, self.pretrained, device=self.device, precision=self.precision)


def bearable_workers(runs: int, device: str) -> int:
    """How many processes this machine bears: by its cores and its free memory, and one for a GPU.

    Example:
        >>> bearable_workers(5, "cuda"), bearable_workers(1, "cpu")
        (1, 1)
    """
    if device != "cpu":
        return 1
    return max(1, min(runs, _cores(), _free_bytes() // WORKER_BYTES))


def run_here(runs: Sequence[Run], backbone: Backbone, finished: Finished) -> None:
    """One run after the other in this process."""
    for run in runs:
        finished(run, _attempt(run, backbone))


def run_in_workers(runs: Sequence[Run], towers: Towers, workers: int, finished: Finished) -> None:
    """The runs in `workers` processes, which share the cores; results lie on disk when this returns.

    Args:
        runs: what to do, in the order in which it is begun.
        towers: loaded by every process for itself.
        workers: how many.
        finished: called in this process, in the order in which runs end.

    Raises:
        InputError: if a process ends before it has begun, as where a script starts workers without
            ``if __name__ == "__main__"``.
    """
    waiting = deque(range(len(runs)))
    team: dict[Line, _Worker] = {}
    try:
        while waiting or team:
            while waiting and len(team) < workers:
                worker = _Worker.start(runs, towers, threads=max(1, _cores() // workers))
                team[worker.connection] = worker
            for connection in wait(list(team)):
                worker = team.pop(connection)
                ended, reason, alive = worker.answer()
                if ended is not None:
                    finished(runs[ended], reason)
                if alive and waiting:
                    worker.give(waiting.popleft())
                    team[worker.connection] = worker
                else:
                    worker.end()
    finally:
        for worker in team.values():
            worker.end(now=True)


class _Worker:
    """A process, the line to it, and which run it was given."""

    def __init__(self, process: BaseProcess, connection: Line) -> None:
        self.process = process
        self.connection = connection
        self.given: int | None = None
        self.begun = False

    @classmethod
    def start(cls, runs: Sequence[Run], towers: Towers, *, threads: int) -> "_Worker":
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, tuple(runs), towers, threads), daemon=True)
        process.start()
        there.close()
        return cls(process, here)

    def answer(self) -> tuple[int | None, str | None, bool]:
        """Which run has ended if any, why it failed if it did, and whether the process can take another."""
        ended, self.given = self.given, None
        try:
            reason = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            if not self.begun:
                raise InputError(
                    f"worker processes must be able to start; one ended with status {self.process.exitcode} before its "
                    "first run. Guard the script by if __name__ == '__main__', or pass workers=1."
                ) from None
            return ended, _last_words(self.process.exitcode), False
        self.begun = True
        return ended, reason, True

    def give(self, index: int) -> None:
        self.given = index
        with suppress(OSError):  # a process that is gone is found out by `answer`
            self.connection.send(index)

    def end(self, *, now: bool = False) -> None:
        """Let the process end, or make it."""
        self.connection.close()
        if now:
            self.process.terminate()
        self.process.join()


def _last_words(status: int | None) -> str:
    if status is not None and status < 0:
        memory = ", perhaps for want of memory: try fewer workers" if status == -signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-status).name}{memory}"
    return f"its process ended with status {status}"


def _serve(connection: Line, runs: tuple[Run, ...], towers: Towers, threads: int) -> None:
    """What a worker does: load the towers, say so, and do runs until nobody asks for more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    backbone = towers.load()
    reason: str | None = None
    try:
        while True:
            connection.send(reason)
            reason = _attempt(runs[connection.recv()], backbone)
    except (EOFError, OSError):
        return


def _end_with_parent() -> None:
    """End at once when the parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(run: Run, backbone: Backbone) -> str | None:
    """Why the run failed, in a line; None if it did not."""
    try:
        with silence():
            perform(run, backbone)
    except Exception as error:  # whatever it is, the other runs go on
        return in_one_line(error)
    return None


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_bytes() -> int:
    """Memory that is free or would be freed on demand, where the system says so; else all there is."""
    facts = Path("/proc/meminfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
