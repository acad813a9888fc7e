"""Where a result comes from: versions, device, commit."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

__version__ = metadata.version("causalvlm")
"""Version of the distribution that both packages are installed with."""


def provenance(device: str = "cpu") -> dict[str, object]:
    """Facts that belong beside every result: package versions, machine, device and the git commit, if known.

    Example:
        >>> sorted(provenance())
        ['commit', 'device', 'platform', 'python', 'versions']
    """
    packages = ("causalvlm", "torch", "open_clip_torch", "numpy", "scikit-learn")
    return {
        "versions": {package: metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Commit of the checkout that this file lies in; None when installed from a wheel."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
