"""Pictures on their way to a tower: rendered on threads, a little in advance, in batches."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from cdc.backbones.backbone import Backbone
from cdc.data.images import UnreadableImageError
from cdc.errors import InputError, require_at_least

Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class PixelBatch:
    """Preprocessed pictures of a few images.

    Attributes:
        rows: which images these are.
        pixels: one picture each.
        unreadable: images left out, each with the reason.
    """

    rows: tuple[int, ...]
    pixels: Float[Tensor, "batch 3 _ _"]
    unreadable: tuple[tuple[int, str], ...]


def pixel_batches(rows: Iterable[int], render: Callable[[int], Tensor], *, batch_size: int) -> Iterator[PixelBatch]:
    """Render images in the order of `rows`, batch by batch; a batch of which nothing can be read is left out.

    Args:
        rows: which images; drawn a little in advance.
        render: makes the picture [3, height, width] of one.
        batch_size: images at once.

    Example:
        >>> [batch.rows for batch in pixel_batches([2, 0, 1], lambda row: torch.zeros(3, 8, 8), batch_size=2)]
        [(2, 0), (1,)]
    """
    rendered = render_ahead(rows, render, ahead=2 * batch_size)
    waiting: list[tuple[int, str]] = []
    while part := list(itertools.islice(rendered, batch_size)):
        waiting += [(row, found.reason) for row, found in part if isinstance(found, UnreadableImageError)]
        good = {row: found for row, found in part if isinstance(found, Tensor)}
        if good:
            yield PixelBatch(tuple(good), torch.stack(list(good.values())), tuple(waiting))
            waiting = []
    if waiting:
        yield PixelBatch((), torch.zeros(0, 3, 1, 1), tuple(waiting))


def require_readable(files: int, unreadable: Sequence[tuple[Path, str]]) -> None:
    """Refuse a list of files that is empty, or of which none can be read.

    Args:
        files: how many there are.
        unreadable: those that cannot be read, each with the reason.

    Raises:
        InputError: if nothing is left.

    Example:
        >>> require_readable(2, [(Path("broken.jpg"), "image file is truncated")])
    """
    if files == 0:
        raise InputError("paths must name at least one image file; received none.")
    if len(unreadable) == files:
        path, reason = unreadable[0]
        raise InputError(
            f"at least one image must be readable; received {files} files and can read none, the first is {path}: "
            f"{reason}. Check that the paths name image files."
        )


def pictures_at_once(batch_size: int | None, backbone: Backbone) -> int:
    """Pictures that go through a tower at once: 8 on a cpu, whose caches larger batches leave, and 64 elsewhere.

    Raises:
        InputError: if the caller asks for less than one.

    Example:
        >>> import cdc
        >>> pictures_at_once(None, cdc.load_backbone("picto"))
        8
    """
    if batch_size is None:
        return 8 if backbone.device.type == "cpu" else 64
    require_at_least("batch_size", batch_size, 1)
    return batch_size


def render_ahead(
    keys: Iterable[Key], render: Callable[[Key], Tensor], *, ahead: int
) -> Iterator[tuple[Key, Tensor | UnreadableImageError]]:
    """Render pictures on threads (decoding and resizing release the interpreter lock), at most `ahead` in advance.

    Example:
        >>> [key for key, _ in render_ahead("ab", lambda key: torch.zeros(1), ahead=1)]
        ['a', 'b']
    """

    def attempt(key: Key) -> Tensor | UnreadableImageError:
        try:
            return render(key)
        except UnreadableImageError as error:
            return error

    waiting: deque[tuple[Key, Future[Tensor | UnreadableImageError]]] = deque()
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    try:
        for key in keys:
            waiting.append((key, pool.submit(attempt, key)))
            if len(waiting) > max(ahead, workers):
                first, rendered = waiting.popleft()
                yield first, rendered.result()
        for key, rendered in waiting:
            yield key, rendered.result()
    finally:  # also when the run is interrupted: what was ordered in advance is not worth waiting for
        pool.shutdown(cancel_futures=True)
