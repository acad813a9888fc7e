"""What a kill leaves of files, folders that two processes want, and what may be neither read nor replaced."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cdc
from cdc.files import in_use, read_bytes, refuse_overwrite, require_regular, write_bytes

HOLD = """
import sys, time
from pathlib import Path
from cdc.files import in_use, write_bytes
with in_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `tmp_path`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_serves_one_process_until_that_is_killed(holder, tmp_path):
    with pytest.raises(cdc.InputError, match=r"serve one process at a time; .* is in use by another"), in_use(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with in_use(tmp_path):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_of_a_file_goes_when_it_is_written_again(tmp_path):
    stale, other = tmp_path / ".a.json.abc123.partial", tmp_path / ".b.json.abc123.partial"
    for path in (stale, other):
        path.write_text("half")
    write_bytes(tmp_path / "a.json", b"{}")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", other.name}


def test_what_is_being_written_is_not_swept(tmp_path, monkeypatch):
    """A write within a write of the same file, as two processes have it."""
    path, replaced = tmp_path / "a.json", Path.replace

    def replace(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replaced)
        write_bytes(path, b"inner")
        assert self.exists()
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    write_bytes(path, b"outer")
    assert path.read_bytes() == b"outer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_must_last_is_followed_by_a_sync_of_the_folder(tmp_path, monkeypatch):
    kinds: list[bool] = []

    def fsync(descriptor: int) -> None:
        kinds.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        assert kinds[-1] == (tmp_path / "a").exists()

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(tmp_path / "a", b"kept")
    write_bytes(tmp_path / "b", b"cached", durable=False)
    assert kinds == [False, True]


def test_only_regular_files_of_bounded_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    started = time.monotonic()
    for name in ("pipe", "large", "."):
        with pytest.raises(cdc.InputError, match="must be a regular file of at most 4 bytes; received"):
            read_bytes(tmp_path / name, most=4)
    assert time.monotonic() - started < 5


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
        with pytest.raises(cdc.InputError, match=r"must go to a regular file; received .*out\.json, which is none"):
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
