"""Tiny image folders made on the spot."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def make_images() -> Callable[[Path, Iterable[str]], Path]:
    """Write one small, distinct image per place below a root."""

    def make(root: Path, places: Iterable[str]) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        for number, place in enumerate(places):
            file = root / place
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(file, format="PNG")
        return root

    return make
