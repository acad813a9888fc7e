"""The package as others get it: built, installed into an empty environment, and used there, away from the repository.

Run:     make wheel            (minutes: torch is installed anew, and the whole demo runs)
Expect:  exit 0. Otherwise the first thing that is missing or fails.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
PACKAGES = ("causalvlm/", "cdc/")
SOURCES = (*PACKAGES, "pyproject.toml", "README.md", "LICENSE")
COMMANDS = (
    ["identify", "X -> S -> Y; X <-> Y", "--treatment", "X", "--outcome", "Y"],
    ["methods"],
    ["--help"],
)
BUNDLED = """
import causalvlm, cdc
for package in (causalvlm, cdc):
    for name in package.__all__:
        getattr(package, name)
print(causalvlm.__version__, causalvlm.__file__)
for name in ("picto", "picto-unconfounded"):
    assert cdc.load_backbone(name).encode_texts(["a picture of a dog."]).shape == (1, 192)
dog = causalvlm.load_dataset("picto/mammals").test[0].path
print(dog)
"""
"""Every public name, both bundled models, and a picture of the world that is drawn from the bundled tables."""

OWN_PHOTOGRAPHS = """
from pathlib import Path
import numpy as np
from PIL import Image
rng = np.random.default_rng(0)
colours = {"leaf": (40, 160, 50), "sea": (30, 60, 200), "sand": (200, 180, 120), "ember": (200, 60, 30)}
for name, colour in colours.items():
    Path("photos", name).mkdir(parents=True)
    for number in range(60):
        pixels = np.clip(np.array(colour) + rng.normal(0, 40, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(f"photos/{name}/{number:02d}.png")
Image.fromarray(pixels).save("some.jpg")
"""
"""What the README's second block finds in the folder that it runs in."""


def main() -> None:
    """Build, compare with the tree, install without extras, use; then with the extra for photographs."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        files = copy_tree(place / "source")
        call(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            place,
            place / "source",
            cwd=place,
        )
        (wheel,) = place.glob("*.whl")
        missing = sorted(files - set(ZipFile(wheel).namelist()))
        if missing:
            sys.exit(f"the wheel must hold every file of the packages; it lacks {', '.join(missing)}.")
        venv.create(place / "env", with_pip=True)
        commands = place / "env" / ("Scripts" if sys.platform == "win32" else "bin")
        python = commands / "python"
        install = (python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt")
        call(*install, wheel, cwd=place)
        for arguments in COMMANDS:
            call(commands / "causalvlm", *arguments, cwd=place)
        call(python, "-c", BUNDLED, cwd=place)
        call(commands / "causalvlm", "demo", "--out", "demo", cwd=place)
        if "data:image" not in (place / "demo" / "report.html").read_text():
            sys.exit("the demo must end in a report with figures; its report.html has none.")
        photographs, own, causal, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        call(python, "-c", causal, cwd=place)
        call(*install, f"{wheel}[photo]", cwd=place)
        call(python, "-c", photographs, cwd=place)
        call(python, "-c", OWN_PHOTOGRAPHS, cwd=place)
        call(python, "-c", own, cwd=place)
    print("the wheel is whole and works")


def copy_tree(target: Path) -> set[str]:
    """Copy what git keeps and a wheel is built from, nothing else; list the files of the packages."""
    listed = subprocess.run(["git", "ls-files", *SOURCES], cwd=ROOT, capture_output=True, text=True, check=True)
    files = set(listed.stdout.splitlines())
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, target / file)
    return {file for file in files if file.startswith(PACKAGES)}


def call(*command: object, cwd: Path) -> None:
    """Run a command and show it; the first that fails ends everything."""
    words = [str(word) for word in command]
    print("$", *(word if "\n" not in word else "..." for word in words), flush=True)
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=cwd, env={**surroundings, "CAUSALVLM_CACHE": str(cwd / "cache")})
    if done.returncode != 0:
        sys.exit(f"this must succeed: {' '.join(words)}")


if __name__ == "__main__":
    main()
