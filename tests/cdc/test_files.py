"""What a kill leaves of files, folders that two processes want, and what may be neither read nor replaced."""

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import cdc
from cdc.files import in_use, read_bytes, refuse_overwrite, require_regular, write_bytes

HOLD = """
import sys, time
from pathlib import Path
from cdc.files import in_use, write_bytes
out = Path(sys.argv[1])
with in_use(out, writes=[out / name for name in sys.argv[2:]]):
    for name in sys.argv[2:3]:
        write_bytes(out / name, b"first")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `tmp_path`."""
    process = hold(tmp_path)
    yield process
    process.kill()
    process.communicate()


def test_a_folder_serves_one_process_until_that_is_killed(holder, tmp_path):
    with pytest.raises(cdc.InputError, match=r"serve one process at a time; .* is in use by another"), in_use(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with in_use(tmp_path):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def hold(folder: Path, *writes: str) -> subprocess.Popen[str]:
    """A process that holds a folder and has written the first of its files."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *writes], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_what_a_killed_process_was_writing_may_be_replaced_and_nothing_else(tmp_path):
    """A kill between two files used to leave a folder in which the same command was refused."""
    process = hold(tmp_path, "report.html", "result.json")
    process.kill()
    process.communicate()
    (tmp_path / "own.txt").write_text("a user's")
    wanted = [tmp_path / name for name in ("report.html", "result.json")]
    refused = pytest.raises(cdc.InputError, match=r"must not exist yet; received .*(own\.txt|report\.html)")
    with refused, in_use(tmp_path, writes=[tmp_path / "own.txt"]):
        pass
    with suppress(ZeroDivisionError), in_use(tmp_path, writes=wanted):
        write_bytes(wanted[1], b"second")
        _ = 1 / 0
    with in_use(tmp_path, writes=wanted):
        for path in wanted:
            write_bytes(path, b"third")
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "result.json", "own.txt"}
    with refused, in_use(tmp_path, writes=wanted):
        pass


def test_a_folder_that_was_made_for_nothing_goes(tmp_path):
    with pytest.raises(ZeroDivisionError), in_use(tmp_path / "out", writes=[tmp_path / "out" / "a.txt"]):
        _ = 1 / 0
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
