"""Malformed inputs, drawn by seed: files and arguments that a command must survive, or refuse in one line."""

import io
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from cdc.saved import CARD, WEIGHTS, checksum

FORMS = (
    ("PNG", "RGB"), ("PNG", "P"), ("PNG", "I;16"), ("PNG", "LA"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P"),
    ("BMP", "RGB"), ("TIFF", "F"), ("TIFF", "CMYK"), ("WEBP", "RGBA"),
)  # fmt: skip
GRAPH = "X -> S; S -> Y; U -> X; U -> Y; latent U"
DOT = 'digraph "study" { X -> S; S -> Y [label="a"]; X -> Y [dir=both]; }'
GML = 'graph [ directed 1 node [ id 0 label "X" ] node [ id 1 label "Y" ] edge [ source 0 target 1 ] ]'
DAGITTY = "dag { X [exposure] Y [outcome] U [latent] X -> S S -> Y U -> X U -> Y }"
TOKENS = ("->", "<->", "{", "}", "[", "]", ";", '"', "\\", "\0", "é", "\n", "/*", "X", "latent", "(" * 3000)
FOREIGN = (
    ("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"), ("PDF", b"%PDF-1.4\n"), ("SVG", b"<svg/>"),
    ("FITS", b"SIMPLE  =   T"), ("HTML", b"<html>"),
)  # fmt: skip
ODD_VALUES = (
    None, True, -1, 0, 1e9, 10**30, 0.5, float("nan"), float("inf"), "", "x", "\0", "[/red]", r"$\frac{$", "ä" * 5000,
    [], [[]], {}, {"a": 1}, ["dog"] * 3,
)  # fmt: skip
ODD_CELLS = (
    "",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e-320",
    "x",
    "1,5",
    '"',
    '"a\nb"',
    "\0",
    "0x10",
    "$x_{$",
    "[red]",
    "é",
    "9" * 400,
)
ODD_NAMES = (
    "",
    " ",
    ".",
    "..",
    "a/b",
    "\0",
    "%",
    r"$\frac{$",
    "[/red]",
    "[red]x[",
    "a\nb",
    "-x",
    "--json",
    "é",
    "X" * 300,
)


@dataclass(frozen=True)
class Case:
    """One thing to try.

    Attributes:
        kind: family of inputs.
        name: what is wrong with this one, for the list of defects.
        arguments: of the command.
    """

    kind: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    """What is whole, to be broken in copies.

    Attributes:
        adapter: folder of a saved adapter.
        images: folder of class folders of pictures.
        table: CSV with columns X, S, Y.
        scratch: where broken copies go.
    """

    adapter: Path
    images: Path
    table: Path
    scratch: Path

    def place(self, rng: Random, suffix: str = "") -> Path:
        """A new path below `scratch`."""
        return self.scratch / f"{rng.getrandbits(48):012x}{suffix}"

    def picture(self) -> Path:
        """A picture that can be read."""
        return next(path for path in sorted(self.images.rglob("*.png")))


def draw(kind: str, rng: Random, bench: Bench) -> Case:
    """A case of one family."""
    name, arguments = KINDS[kind](rng, bench)
    return Case(kind, name, tuple(arguments))


def _broken_bytes(data: bytes, rng: Random) -> tuple[str, bytes]:
    """What happens to files on disks and wires."""
    place = rng.randrange(max(1, len(data)))
    before, after = data[:place], data[place:]
    flipped = bytes([after[0] ^ 1 << rng.randrange(8)]) + after[1:] if after else b""
    ways = {
        f"bit {place} flipped": before + flipped,
        f"cut at {place}": before,
        "random bytes": rng.randbytes(rng.randrange(1, 4096)),
        f"zeros from {place}": before + bytes(min(len(after), 4096)) + after[4096:],
        "twice": data + data,
        "empty": b"",
        f"bytes inserted at {place}": before + rng.randbytes(8) + after,
    }
    return rng.choice(list(ways.items()))


def _odd_file(path: Path, rng: Random) -> str:
    """A path that is no regular file."""
    way = rng.choice(("missing", "folder", "pipe", "loop", "device"))
    match way:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            pass
    return way


def _adapter(rng: Random, bench: Bench) -> tuple[str, list[str]]:
    folder = bench.place(rng)
    shutil.copytree(bench.adapter, folder)
    file = rng.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    way = rng.choice(("bytes", "bytes", "field", "field", "field", "tensor", "tensor", "odd"))
    card = folder / CARD
    if way == "field":
        what = _change_field(card, rng)
    elif way == "tensor":
        what = _change_tensor(folder / WEIGHTS, rng)
    elif way == "odd":
        file.unlink()
        what = f"{file.name}: {_odd_file(file, rng)}"
    else:
        change, data = _broken_bytes(file.read_bytes(), rng)
        file.write_bytes(data)
        what = f"{file.name}: {change}"
    if way in ("field", "tensor") and rng.random() < 0.8:
        what += ", signed again" * _sign(folder)
    return what, ["predict", str(folder), str(bench.picture())]


def _sign(folder: Path) -> bool:
    """Make the checksum right, as who makes up an adapter would; false if the card has none any more."""
    try:
        card = json.loads((folder / CARD).read_text())
        card.pop("sha256")
        card = {"sha256": checksum(card, (folder / WEIGHTS).read_bytes()), **card}
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    (folder / CARD).write_text(json.dumps(card))
    return True


def _change_field(file: Path, rng: Random) -> str:
    """One value of a JSON file, however deep, becomes an odd one, goes, or gets company."""
    record = json.loads(file.read_text())
    node, path = record, ""
    while True:
        key = rng.choice(sorted(node) if isinstance(node, dict) else range(len(node)))
        path += f".{key}"
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.3:
            break
        node = node[key]
    way = rng.choice(("odd", "odd", "gone", "unknown"))
    if way == "odd":
        node[key] = rng.choice(ODD_VALUES)
        path += f" = {str(node[key])[:20]!r}"
    elif way == "gone":
        del node[key]
        path += " gone"
    elif isinstance(node, dict):
        node["stranger"] = 1
        path += " beside a stranger"
    file.write_text(json.dumps(record))
    return path


def _change_tensor(file: Path, rng: Random) -> str:
    tensors = load_file(file)
    name = rng.choice(sorted(tensors))
    way = rng.choice(("nan", "inf", "shape", "type", "gone", "stranger", "huge"))
    value = tensors[name]
    match way:
        case "nan" | "inf":
            value = value.copy()
            value.flat[0] = float(way)
            tensors[name] = value
        case "shape":
            tensors[name] = np.zeros((*value.shape, 2), value.dtype)
        case "type":
            tensors[name] = value.astype(np.float64)
        case "gone":
            del tensors[name]
        case "huge":
            tensors[name] = np.asarray(value + np.array(3e38, value.dtype))
        case _:
            tensors["stranger"] = np.zeros(3, np.float32)
    save_file(tensors, file)
    return f"{name}: {way}"


def _encoded(rng: Random) -> tuple[str, bytes]:
    size = (rng.randrange(1, 90), rng.randrange(1, 90))
    form, mode = rng.choice(FORMS)
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, form)
    return form, stream.getvalue()


def _bomb(rng: Random) -> tuple[str, bytes]:
    """A small PNG file that says it is large."""
    width, height = rng.choice(
        ((20000, 1), (1, 20000), (100_000_000, 1), (13300, 13300), (2**31 - 1, 2**31 - 1), (0, 5), (60000, 60000))
    )
    header = struct.pack(">IIBBBBB", width, height, rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 6)), 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = zlib.compress(bytes(min(width * height, 10**7)))
    return f"{width} x {height}", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(
        b"IEND", b""
    )


def _image(rng: Random, bench: Bench) -> tuple[str, list[str]]:
    suffix = rng.choice((".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".txt", ""))
    path = bench.place(rng, suffix)
    way = rng.choice(("bytes", "bytes", "bytes", "bomb", "bomb", "foreign", "odd", "name"))
    form, data = _encoded(rng)
    if way == "odd":
        what = _odd_file(path, rng)
    elif way == "bytes":
        change, data = _broken_bytes(data, rng)
        what = f"{form}, {change}"
    elif way == "bomb":
        what, data = _bomb(rng)
    elif way == "foreign":
        what, data = rng.choice(FOREIGN)
    else:
        path = path.with_name(f"{path.stem}{_file_name(rng)}.png")
        what = f"named {path.name!r}"
    if way != "odd":
        path.write_bytes(data)
    others = [str(bench.picture())] if rng.random() < 0.5 else []
    return f"{what}, ends in {suffix!r}", ["predict", str(bench.adapter), str(path), *others]


def _file_name(rng: Random) -> str:
    """An odd name that a file can have."""
    return rng.choice([name for name in ODD_NAMES if not set("/\0") & set(name) and name.strip(". ")])[:100]


def _table(rng: Random, bench: Bench) -> tuple[str, list[str]]:
    rows = [line.split(",") for line in bench.table.read_text().splitlines()]
    path = bench.place(rng, rng.choice((".csv", ".csv", ".csv", ".parquet", ".tsv", "")))
    way = rng.choice(("rows", "rows", "rows", "bytes", "odd"))
    if way == "odd":
        what = _odd_file(path, rng)
    else:
        what = _change_rows(rows, rng) if way == "rows" else ""
        data = "\n".join(",".join(row) for row in rows).encode()
        if way == "bytes":
            what, data = _broken_bytes(data, rng)
        path.write_bytes(data)
    return f"{what}, {path.suffix}", ["estimate", str(path), GRAPH, "--treatment", "X", "--outcome", "Y"]


def _change_rows(rows: list[list[str]], rng: Random) -> str:
    """Something that people do to tables."""
    column, value = rng.randrange(3), rng.choice(ODD_CELLS)
    name = rows[0][column]
    match rng.choice(("cell", "cell", "column", "head", "ragged", "few", "text")):
        case "cell":
            rows[rng.randrange(1, len(rows))][column] = value
            return f"{name} has {value[:12]!r}"
        case "column":
            for row in rows[1:]:
                row[column] = value
            return f"{name} is {value[:12]!r}"
        case "head":
            rows[0][column] = rng.choice((*ODD_NAMES, "Y", "X"))
            return f"a column called {rows[0][column]!r}"
        case "ragged":
            rows[rng.randrange(len(rows))].append("1")
            return "a row with one cell more"
        case "few":
            del rows[rng.randrange(4) :]
            return f"{len(rows)} lines"
        case _:
            for number, row in enumerate(rows[1:]):
                row[column] = f"id-{number}"
            return f"{name} is unique text"


def _graph(rng: Random, bench: Bench) -> tuple[str, list[str]]:
    text = rng.choice((GRAPH, DOT, GML, DAGITTY))
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice((*TOKENS, *ODD_NAMES)) + text[place + rng.choice((0, 0, 1, 5)) :]
    given = text.replace("\0", "")
    if rng.random() < 0.5:
        path = bench.place(rng, rng.choice((".dot", ".gml", ".dag", ".txt", ".json")))
        path.write_bytes(text.encode("utf-8-sig" if rng.random() < 0.2 else "utf-8"))
        given = str(path)
    ends = ["--treatment", rng.choice(("X", "Y", "Q", "")), "--outcome", rng.choice(("Y", "X", "U"))]
    return text[:60], ["identify", *ends, "--", given]


def _folder(rng: Random, bench: Bench) -> tuple[str, list[str]]:
    root = bench.place(rng)
    shutil.copytree(bench.images, root)
    what, data = _change_folder(root, rng)
    command = rng.choice(("evaluate", "adapt", "doctor"))
    arguments = {
        "evaluate": [str(bench.adapter), str(data)],
        "adapt": [str(data), "--method", "zero-shot", "--out", str(bench.place(rng))],
        "doctor": [str(data)],
    }
    return f"{command}: {what}", [command, *arguments[command]]


def _change_folder(root: Path, rng: Random) -> tuple[str, Path]:
    """Something that people do to folders of pictures, and where the data set is then."""
    first, *others = sorted(root.iterdir())
    pictures = sorted(root.rglob("*.png"))
    what = rng.choice(
        ("empty class", "one class", "odd class", "odd picture", "broken pictures", "no pictures", "table")
    )
    match what:
        case "empty class":
            (root / "void").mkdir()
        case "one class":
            for path in others:
                shutil.rmtree(path)
        case "odd class":
            renamed = first.rename(root / _file_name(rng))
            what = f"a class called {renamed.name!r}"
        case "odd picture":
            what = f"a picture that is a {_odd_file(first / 'odd.png', rng)}"
        case "broken pictures":
            for path in pictures:
                path.write_bytes(b"no picture")
        case "no pictures":
            for path in pictures:
                path.unlink()
        case _:
            cells = [["file", "label", "split"]]
            cells += [[str(path.relative_to(root)), path.parent.name, ""] for path in pictures]
            row, column = rng.randrange(len(cells)), rng.randrange(3)
            cells[row][column] = rng.choice(ODD_CELLS)
            what = f"a table with {cells[row][column][:12]!r} in row {row}, column {column}"
            (root / "table.csv").write_text("\n".join(",".join(row) for row in cells))
            return what, root / "table.csv"
    return what, root


def _option(rng: Random, bench: Bench) -> tuple[str, list[str]]:
    option, values = rng.choice(tuple(OPTIONS.items()))
    value = rng.choice(values)
    command = ["adapt", str(bench.images), "--method", "coop", "--epochs", "1", "--shots", "1"]
    return f"{option} {value[:30]}", [*command, option, value, "--out", str(bench.place(rng))]


OPTIONS = {
    "--shots": ("0", "-1", "x", "1e3", "99999999999999999999"),
    "--epochs": ("0", "-1", "x"),
    "--seed": ("-1", str(2**63), str(2**64), "x", "1.5"),
    "--device": ("cpu:5", "cuda:99", "tpu", ""),
    "--precision": ("fp8", ""),
    "--classes": ("none", "", "Base"),
    "--backbone": ("", "no-such-tower", "/nowhere", "hf-hub:", "."),
    "--method": ("", "cdc:", "cdc:best", "[red]"),
    "--set": ("x=1", "context_tokens=0", "context_tokens=100000", "context_tokens=", "=", "context_tokens=nan"),
    "--factors": ("", "class", "a/b/c", "/nowhere.csv"),
}

KINDS: dict[str, Callable[[Random, Bench], tuple[str, list[str]]]] = {
    "adapters": _adapter,
    "images": _image,
    "tables": _table,
    "graphs": _graph,
    "data sets": _folder,
    "options": _option,
}
"""Families of inputs."""
