"""Every command keeps the house's promises: help, and no import of torch before it is needed."""

import ast
import errno
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from rich.table import Table

from causalvlm.cli.main import app, run
from causalvlm.cli.output import console
from causalvlm.errors import CausalVLMError
from cdc.files import write_bytes
from cdc.images.cache import default_cache

COMMANDS = [
    "demo", "adapt", "evaluate", "predict", "export", "push", "protocol", "methods", "embed", "diagnose", "audit",
    "doctor", "identify", "estimate",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_exits_0_and_names_its_json_option(command, capsys):
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage: " in text
    assert "--json" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command, capsys):
    assert run([command, "--help"]) == 0
    assert f"Example: causalvlm {command}" in " ".join(capsys.readouterr().out.split())


def test_the_version_is_a_line(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"causalvlm {metadata.version('causalvlm')}\n"


def test_the_shell_can_complete():
    asked = {"_CAUSALVLM_COMPLETE": "complete_bash", "COMP_WORDS": "causalvlm eva", "COMP_CWORD": "1"}
    code = "import sys; from causalvlm.__main__ import main; sys.argv[0] = 'causalvlm'; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked})
    assert done.stdout.split() == ["evaluate"]


FIRST = {
    "adapt": ["adapt", "picto/mammals", "--out", "OUT"],
    "predict": ["predict", "ADAPTER", "FOLDER"],
    "evaluate": ["evaluate", "ADAPTER", "picto/mammals"],
    "export": ["export", "ADAPTER", "--out", "OUT/a.onnx"],
    "diagnose": ["diagnose", "picto/mammals", "--out", "OUT"],
    "embed": ["embed", "picto/mammals", "--backbone", "picto\x1b[31m\n", "--out", "OUT"],
    "demo": ["demo", "--out", "OUT"],
    "protocol": ["protocol", "few-shot", "--datasets", "picto/mammals", "--out", "OUT"],
    "methods": ["methods"],
    "estimate": ["estimate", "TABLE", "X -> Y", "--treatment", "X", "--outcome", "Y"],
    "identify": ["identify", "X -> Y", "--treatment", "X", "--outcome", "Y"],
}
STOP_AT_THE_FIRST_WORD = """
import os, sys
from causalvlm.cli.main import run
HEAVY = {"torch", "open_clip", "transformers", "numpy", "scipy", "pandas", "sklearn", "networkx", "PIL", "matplotlib"}
class Listener:
    def write(self, text):
        print(sorted(HEAVY & set(sys.modules)), repr(text), flush=True)
        os._exit(0)
sys.stderr = Listener()
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", FIRST)
def test_the_first_word_comes_before_anything_heavy_is_loaded(command, tmp_path):
    for name in ("card.json", "adapter.safetensors", "table.csv", "picture.png"):
        (tmp_path / name).touch()
    places = {"OUT": tmp_path / "out", "ADAPTER": tmp_path, "FOLDER": tmp_path, "TABLE": tmp_path / "table.csv"}
    typed = [str(places.get(word, word)) for word in FIRST[command]]
    done = subprocess.run([sys.executable, "-c", STOP_AT_THE_FIRST_WORD, *typed], capture_output=True, text=True)
    loaded, said = done.stdout.split(" ", 1)
    assert loaded == "[]"
    text = ast.literal_eval(said)
    assert text.startswith("causalvlm: ")
    assert text.endswith(" ...\n")
    assert text[:-1].isprintable()


def test_the_commands_are_these():
    assert sorted(command.name or command.callback.__name__ for command in app.registered_commands) == sorted(COMMANDS)


def test_an_unknown_command_is_one_line(capsys):
    assert run(["diagnos"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "causalvlm: No such command 'diagnos'. Did you mean 'diagnose'?\n"


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("CAUSALVLM_DEBUG", "1")
    with pytest.raises(Exception, match="No such command"):
        run(["diagnos"])


def test_help_loads_neither_torch_nor_open_clip():
    code = (
        "import sys; from causalvlm.cli.main import run; run(['--help']); "
        "print({'torch', 'open_clip'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "causalvlm", "--help"], capture_output=True, text=True, check=True)
    assert "diagnose" in done.stdout


IDENTIFY = [sys.executable, "-m", "causalvlm", "identify", "X -> S -> Y; X <-> Y", "--treatment", "X", "--outcome", "Y"]

FIRST_WORD = "causalvlm: identifying the effect of X on Y ...\n"


def shell(command: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell with the arguments as "$@"."""
    return subprocess.run(
        ["bash", "-c", command, "bash", *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("command", ['"$@" >&-', '"$@" 1>&- 2>&-', 'set -o pipefail; "$@" | true'])
def test_closed_output_ends_nothing(tmp_path, command):
    done = shell(command, *IDENTIFY, "--json", str(tmp_path / "r.json"))
    assert (done.returncode, done.stderr) == (0, "" if "2>&-" in command else FIRST_WORD)
    assert (tmp_path / "r.json").exists()


def test_ascii_output_and_names_that_are_no_utf_8(tmp_path):
    odd = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.json")
    done = shell('"$@"', *IDENTIFY, "--json", odd, "--figure", odd[:-5] + ".svg", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, FIRST_WORD)
    assert "caf\\udce9.svg" in done.stdout


def test_an_interrupt_during_the_imports_is_one_line():
    code = (
        "import os, signal, sys, causalvlm.__main__ as entry\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'causalvlm.cli.main': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "entry.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "causalvlm: interrupted\n")


def test_a_warning_of_the_command_is_one_line():
    code = (
        "import sys, warnings, causalvlm.cli.main as command\n"
        "command.run = lambda: warnings.warn('one\\ntwo')\n"
        "command.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "causalvlm: warning: one two\n")


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*r\.json'"):
        write_bytes(tmp_path / "r.json", b"{}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chosen", ["~nosuchuser/x", ""])
def test_a_cache_in_no_home_is_a_users_mistake(monkeypatch, chosen):
    def nobody(*_: object) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("CAUSALVLM_CACHE", chosen)
    with pytest.raises(CausalVLMError, match="the folder of cached features must be known"):
        default_cache()


def test_text_on_the_terminal_is_never_markup(capsys):
    console().print("[/red] [bold]x[/bold] :smile:", soft_wrap=True)
    table = Table(title="[/red]")
    table.add_column("[red]x[.jpg")
    console().print(table)
    shown = capsys.readouterr().out
    assert "[/red] [bold]x[/bold] :smile:" in shown
    assert "[red]x[.jpg" in shown
