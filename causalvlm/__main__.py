"""``python -m causalvlm`` is the ``causalvlm`` command."""

import sys


def main() -> None:
    """Entry point of the installed command: the imports take a second, in which it may be interrupted too."""
    try:
        from causalvlm.cli.main import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("causalvlm: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
