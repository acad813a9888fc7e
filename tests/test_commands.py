"""Every command keeps the house's promises: help, and no import of torch before it is needed."""

import subprocess
import sys

import pytest

from causalvlm.cli.main import app, run

COMMANDS = ["demo", "adapt", "evaluate", "predict", "protocol", "methods", "diagnose", "doctor", "identify", "estimate"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_exits_0_and_names_its_json_option(command, capsys):
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage: " in text
    assert "--json" in text


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
