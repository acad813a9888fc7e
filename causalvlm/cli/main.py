"""The `causalvlm` command: registers the commands, and turns every user's mistake into one line and exit 2."""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.exceptions import TyperException

from causalvlm.cli import (
    adapt,
    audit,
    demo,
    diagnose,
    doctor,
    embed,
    estimate,
    evaluate,
    export,
    identify,
    methods,
    predict,
    protocol,
    push,
)
from causalvlm.errors import CausalVLMError
from cdc.progress import lines

USER_MISTAKE = 2

OPTIONS = {"force=True": "--force", "allow_fewer=True": "--allow-fewer", "root=...": "--root FOLDER"}
"""What an error that speaks to a Python user says at a command line."""

app = typer.Typer(
    name="causalvlm",
    help="Why does a CLIP-like model fail on your data? Causal diagnostics, and CDC, the adapter that mends it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


app.command()(demo.demo)
app.command()(adapt.adapt)
app.command()(evaluate.evaluate)
app.command()(predict.predict)
app.command()(export.export)
app.command()(push.push)
app.command(cls=protocol.SeveralWords)(protocol.protocol)
app.command()(methods.methods)
app.command()(embed.embed)
app.command()(diagnose.diagnose)
app.command()(audit.audit)
app.command()(doctor.doctor)
app.command()(identify.identify)
app.command()(estimate.estimate)


def _print_version(wanted: bool) -> bool:
    if wanted:
        from causalvlm.version import __version__

        sys.stdout.write(f"causalvlm {__version__}\n")
        raise typer.Exit
    return wanted


@app.callback()
def commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Why does a CLIP-like model fail on your data? Causal diagnostics, and the adapter that mends it.

    Example: causalvlm demo
    """


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 success, 2 a user's mistake, 3 a refusal with its reason.

    Set ``CAUSALVLM_DEBUG=1`` to see the traceback of a mistake.

    Example:
        >>> run(["no-such-command"])
        2
    """
    try:
        with lines():
            return app(args=arguments, standalone_mode=False) or 0
    except TyperException as error:
        return _mistake(error, error.format_message())
    except (CausalVLMError, OSError) as error:
        return _mistake(error, str(error))
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("causalvlm: interrupted\n")
        return 130


def _mistake(error: Exception, message: str) -> int:
    if os.environ.get("CAUSALVLM_DEBUG"):
        raise error
    for python, option in OPTIONS.items():
        message = message.replace(python, option)
    if message:  # the bare command has printed its help and has nothing to add
        sys.stderr.write(f"causalvlm: {' '.join(message.split())}\n")
    return USER_MISTAKE


class _Outlet(io.FileIO):
    """A stream whose reader may go away, as ``head`` does: the work goes on, and what nobody reads is dropped."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer of bytes
        try:
            return super().write(data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(data)


def _outlet(stream: TextIO | None, descriptor: int) -> TextIO:
    """Standard output or error that takes every text: also closed, in ASCII, and for names that are no UTF-8."""
    if stream is None:  # closed by the shell; the lowest free descriptor is taken, so that no file of ours gets it
        return Path(os.devnull).open("w")
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(descriptor, "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=descriptor == 2 or stream.isatty(),
    )


def _warn(message: Warning | str, *_: object) -> None:
    sys.stderr.write(f"causalvlm: warning: {' '.join(str(message).split())}\n")


def main() -> None:
    """Entry point of the command: what it prints goes out whatever the terminal is, and a warning is one line."""
    sys.stdout, sys.stderr = _outlet(sys.stdout, 1), _outlet(sys.stderr, 2)
    warnings.showwarning = _warn
    # Pillow's warning of many pixels, which our bound says in our words; by its text, for Pillow takes time to load.
    warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit")
    sys.exit(run())
