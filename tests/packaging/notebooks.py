"""Execute the tutorials again, each from its first cell in a fresh kernel, and keep their outputs: ``make notebooks``.

Cells get no time stamps, so that only what they show can change. A cell that fails leaves its notebook as it was.
"""

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from cdc.files import write_bytes

FOLDER = Path(__file__).parent.parent.parent / "notebooks"


def main() -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        print(f"executing {path.name} ...", flush=True)
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as place:
            resources = {"metadata": {"path": place}}
            NotebookClient(notebook, timeout=600, record_timing=False, resources=resources).execute()
        write_bytes(path, f"{nbformat.writes(notebook)}\n".encode())


if __name__ == "__main__":
    main()
