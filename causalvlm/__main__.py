"""``python -m causalvlm`` is the ``causalvlm`` command."""

from causalvlm.cli.main import main

if __name__ == "__main__":
    main()
