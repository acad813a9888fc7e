"""What a person has before a journey begins: folders of pictures whose flaw is known, and a study as a table."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from causalvlm.worlds.discrete import smoking
from causalvlm.worlds.picto.scm import PictoWorld

PRODUCTS = ("backpack", "running shoe", "sun hat", "umbrella")
ROOT = Path(__file__).parents[2]


def shop(place: Path) -> None:
    """A folder of products, 24 pictures of each, two copies among them; unsorted new pictures, and a broken file."""
    for number, name in enumerate(PRODUCTS):
        _draw(place / "shop" / name, name, 24, {}, seed=number)
        _draw(place / "new", name, 2, {}, seed=100 + number)
    shutil.copy(place / "shop" / "umbrella" / "000.png", place / "shop" / "backpack" / "copy.png")
    (place / "new" / "broken.png").write_bytes(b"not a picture")
    files = '["new/000.png", "new/007.png"]'
    code = _example("export.md").replace("pets.onnx", "products.onnx").replace('["one.png", "two.png"]', "files")
    (place / "reading.py").write_text(f"files = {files}\n{code}")


def counters(place: Path) -> None:
    """The products photographed and scanned: a scan is a silhouette, which `picto` reads badly."""
    for source, style in {"photo": "colour", "scan": "silhouette"}.items():
        for number, name in enumerate(PRODUCTS):
            _draw(place / "products" / source / name, name, 20, {"style": style}, seed=10 * number + len(source))


def study(place: Path) -> None:
    """Smoking, tar and cancer of 8,000 people, without their unseen common cause; smoking adds 0.045 to the risk."""
    table = smoking().sample(8000, rng=0)[["X", "S", "Y"]]
    table.set_axis(["smoking", "tar", "cancer"], axis=1).to_csv(place / "study.csv", index=False)


def checkout(place: Path) -> None:
    """The example of docs/own_method.md, and what git keeps of the packages and their rules."""
    (place / "own_method.py").write_text(_example("own_method.md"))
    for name in ("cdc", "causalvlm"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("ARCHITECTURE.md", "pyproject.toml", "tests/test_architecture.py"):
        (place / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, place / name)


def nothing(place: Path) -> None:
    """An empty folder."""


def _example(page: str) -> str:
    """The Python of a how-to."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return code


def _draw(folder: Path, product: str, n: int, do: dict[str, str], *, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sample = PictoWorld(("clothing",), regime="downstream", strength=0.0).sample(
        n, do={"concept": product, **do}, rng=np.random.default_rng(seed)
    )
    first = len(list(folder.iterdir()))
    for number, pixels in enumerate(sample.render(size=64).permute(0, 2, 3, 1).numpy(), start=first):
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


BELONGINGS: dict[str, Callable[[Path], None]] = {
    "prompt_learning": nothing,
    "photographs": shop,
    "bias": counters,
    "causal_question": study,
    "contribution": checkout,
}
"""Journeys by name, and what lies in the folder where each begins."""
