"""What each template sees: a contact sheet of augmentation sets 1 and 2, and how far they move an image's feature.

Run:     python analyses/augmentation_sheet.py            (about one minute on 2 cores; --smoke: a few seconds)
Needs:   Caltech-101 in the folder named by CAUSALVLM_DATA, and the `photo` extra.
Writes:  docs/figures/augmentations.png and docs/figures/augmentations.json
Expect:  a mean cosine between view and photograph of 0.88 to 0.97 for the templates of set 1 and 0.81 to 0.89 for
         those of set 2, against 0.16 between different photographs.
"""

import argparse
import os
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

import cdc
from cdc.data.images import read_image
from cdc.files import write_json
from cdc.images.cache import hash_file
from cdc.images.views import AUGMENTATIONS, AugmentationSet, ViewPlan, augment, shrink

DATA = Path(os.environ.get("CAUSALVLM_DATA", "../shared/data")) / "caltech-101" / "101_ObjectCategories"
FIGURES = Path(__file__).parent.parent / "docs" / "figures"
SETS: tuple[AugmentationSet, ...] = ("set1", "set2")
SHOWN = ("butterfly/image_0005.jpg", "elephant/image_0025.jpg", "stop_sign/image_0013.jpg")
TILE, GAP, HEADER = 84, 3, 34
INPUT_SIDE = 224


def main(*, smoke: bool, out: Path) -> None:
    """Draw the sheet and measure the cosines; with `smoke`, of one photograph."""
    out.mkdir(parents=True, exist_ok=True)
    photographs = [DATA / name for name in SHOWN[: 1 if smoke else None]]
    # 256 colours keep the file small; the eye does not miss the others at this size.
    draw_sheet(photographs).quantize(256).save(out / "augmentations.png", optimize=True)
    measured = [DATA / name for name in SHOWN] if smoke else sorted(DATA.rglob("*.jpg"))[::160]
    cosines = measure_cosines(measured)
    for name, value in cosines.items():
        print(f"{name:20} {value:.3f}")
    settings = {"photographs": len(measured), "backbone": "photo", "views": ViewPlan().views}
    write_json(out / "augmentations.json", {"cosine": cosines, **settings, "provenance": cdc.provenance("cpu")})


def draw_sheet(photographs: list[Path]) -> Image.Image:
    """A row per photograph and set; columns: the photograph, then views 0 and 1 of each template."""
    columns = 1 + 2 * len(AUGMENTATIONS)
    size = (columns * (TILE + GAP), HEADER + len(SETS) * len(photographs) * (TILE + GAP))
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    pen.text((2, 1), "photograph", fill="black", font=font)
    for template, name in enumerate(AUGMENTATIONS):
        left = (1 + 2 * template) * (TILE + GAP)
        pen.text((left, 1), f"template {template + 1}: {name}", fill="black", font=font)
        for view in range(2):
            pen.text((left + view * (TILE + GAP), 17), f"view {view}", fill="grey", font=font)
    for row, (path, plan) in enumerate((path, ViewPlan(name)) for path in photographs for name in SETS):
        top = HEADER + row * (TILE + GAP)
        for column, tile in enumerate(make_tiles(path, plan)):
            sheet.paste(tile, (column * (TILE + GAP), top))
        pen.text(
            (4, top + TILE - 17), f"set {plan.set[-1]}", fill="white", font=font, stroke_width=2, stroke_fill="black"
        )
    return sheet


def make_tiles(path: Path, plan: ViewPlan) -> list[Image.Image]:
    """The photograph and the first two views of each template, cut as the image tower sees them."""
    image, key = shrink(read_image(path), short_side=2 * INPUT_SIDE), hash_file(path)
    views = [
        augment(image, plan, template=template, view=view, key=key)
        for template in range(plan.templates)
        for view in range(2)
    ]
    return [ImageOps.fit(picture, (TILE, TILE)) for picture in [image, *views]]


def measure_cosines(paths: list[Path]) -> dict[str, float]:
    """Mean cosine between the features of a photograph and of its views, per set and template."""
    backbone = cdc.load_backbone("photo")
    clean = cdc.encode_images(backbone, paths, progress="photographs").values
    cosines = {"other photographs": float(torch.einsum("nd,nd->n", clean, clean.roll(1, 0)).mean())}
    for name in SETS:
        views = cdc.encode_views(backbone, paths, ViewPlan(name), progress=f"views of {name}").values
        for augmentation, values in zip(AUGMENTATIONS, views.unbind(1), strict=True):
            cosines[f"{name} {augmentation}"] = float(torch.einsum("nvd,nd->nv", values, clean).mean())
    return cosines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one photograph in the sheet, three measured")
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder of the results")
    arguments = parser.parse_args()
    main(smoke=arguments.smoke, out=arguments.out)
