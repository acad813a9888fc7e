"""What may not be replaced, and what may not be read."""

import os
from pathlib import Path

import pytest

from cdc.errors import InputError
from cdc.files import refuse_overwrite, require_regular, write_bytes


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device"])
def test_nothing_but_a_regular_file_is_replaced(tmp_path: Path, kind: str) -> None:
    """With `/dev/full` as its output a command used to put a regular file in the place of the device."""
    path = tmp_path / "out.json"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to("/dev/full")
    before = path.lstat()
    for refuse in (lambda: write_bytes(path, b"{}"), lambda: refuse_overwrite(path, force=True)):
        with pytest.raises(InputError, match=r"must go to a regular file; received .*out\.json, which is none"):
            refuse()
    assert os.path.samestat(path.lstat(), before)
    assert list(tmp_path.iterdir()) == [path]


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="Not a regular file"):
            require_regular(path)
    require_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        require_regular(tmp_path / "missing")
