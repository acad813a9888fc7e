"""The version of this package, as it was installed."""

from importlib import metadata

__version__ = metadata.version("causalvlm")
