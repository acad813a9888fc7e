"""The model hub: files of a repository up and down through the hub's own client, each at a revision that is kept."""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors, utils

from cdc.errors import InputError

HUB_TIMEOUT = 10.0
"""Seconds after which the model hub counts as out of reach."""

_NAME = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(.+))?", re.ASCII)


@dataclass(frozen=True)
class HubRevision:
    """One state of a repository on the model hub, for good; as text, the name that loads it.

    Attributes:
        repository: ``"owner/name"``.
        commit: hash of the commit.

    Example:
        >>> print(HubRevision("somebody/pets", "0123456789abcdef0123456789abcdef01234567"))
        somebody/pets@0123456789abcdef0123456789abcdef01234567
    """

    repository: str
    commit: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit}"

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def find_repository(name: str, revision: str | None = None) -> tuple[str, str | None] | None:
    """Repository and revision that `name` stands for; None if it is spelled like neither of its two forms.

    Args:
        name: ``"owner/name"`` or ``"owner/name@revision"``.
        revision: branch, tag or commit, where the name has none.

    Raises:
        InputError: if name and argument ask for different revisions.

    Example:
        >>> find_repository("somebody/pets@v2")
        ('somebody/pets', 'v2')
        >>> find_repository("../adapters/pets") is None
        True
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    repository, asked = found.groups()
    if None not in (asked, revision) and asked != revision:
        raise InputError(
            f"one revision must be asked for; received {asked!r} in {name!r} and revision={revision!r}. Leave one out."
        )
    return repository, asked or revision


def fetch(repository: str, revision: str | None, most: Mapping[str, int]) -> tuple[Path, HubRevision]:
    """Download files of a repository into the client's cache, or find them there where the hub is out of reach.

    Args:
        repository: ``"owner/name"``.
        revision: branch, tag or commit; None means the main branch.
        most: the files to download, and bytes that each may have. No other file is touched.

    Returns:
        The folder in the cache that holds the files, and the revision that they are of.

    Raises:
        InputError: if the repository, its revision or a file is missing, private or too large, or the hub is out of
            reach and the cache lacks them.
    """
    with _no_bars(), hub_or_cache(needed=True) as reachable:
        try:
            if reachable:
                _require_sizes(repository, revision, most)
            folder = huggingface_hub.snapshot_download(
                repository, revision=revision, allow_patterns=list(most), local_files_only=not reachable,
                cache_dir=constants.HF_HUB_CACHE, endpoint=constants.ENDPOINT,
            )  # fmt: skip
        except InputError:
            raise
        except Exception as error:  # whatever the hub and the client's HTTP library make of a name or a connection
            reason, remedy = _reason(error, revision, wrote=False) if reachable else _out_of_reach()
            raise InputError(
                f"{repository!r} must be a folder, or a repository that can be read on the model hub; there is no such "
                f"folder, and {reason}. {remedy}"
            ) from error
    return Path(folder), HubRevision(repository, Path(folder).name)


def upload(
    folder: Path, repository: str, files: Sequence[str], *, revision: str | None = None, private: bool = False,
    token: str | None = None, message: str,
) -> HubRevision:  # fmt: skip
    """Commit files of `folder` to a repository, all at once; a repository or branch that is not there is made.

    Args:
        folder: where the files lie.
        repository: ``"owner/name"``.
        files: their names, there as here.
        revision: branch to commit to; None means the main branch.
        private: only those who are allowed to see it do.
        token: with the right to write; None means the one of the client's login or of ``HF_TOKEN``.
        message: of the commit.

    Raises:
        InputError: if the name is none, the hub is out of reach or refuses, or `private` is true and the repository
            is public.
    """
    if find_repository(repository) != (repository, None):
        raise InputError(f"a repository must be named owner/name; received {repository!r}. Write it like that.")
    with _no_bars(), hub_or_cache(needed=True) as reachable:
        endpoint = constants.ENDPOINT
        if not reachable:
            raise InputError(
                f"{repository!r} must be pushed to the model hub; {endpoint} cannot be reached. Connect to the "
                "internet, and leave HF_HUB_OFFLINE unset."
            )
        hub = huggingface_hub.HfApi(endpoint=endpoint, token=token)
        try:
            hub.create_repo(repository, private=private, exist_ok=True)
            if private and not hub.model_info(repository).private:
                raise InputError(
                    f"{repository!r} must be private; the one on the model hub is public. Make it private there, or "
                    "choose another name."
                )
            if revision is not None:
                hub.create_branch(repository, branch=revision, exist_ok=True)
            additions = [huggingface_hub.CommitOperationAdd(name, folder / name) for name in files]
            made = hub.create_commit(repository, additions, commit_message=message, revision=revision)
        except InputError:
            raise
        except Exception as error:  # as in `fetch`
            reason, remedy = _reason(error, revision, wrote=True)
            raise InputError(f"{repository!r} must be pushed to the model hub; {reason}. {remedy}") from error
    return HubRevision(repository, str(made.oid))


@contextmanager
def hub_or_cache(*, needed: bool) -> Generator[bool]:
    """Ask the model hub once whether it is there; if not, only its local cache is used, without a minute of retries."""
    before = constants.HF_HUB_OFFLINE
    if needed:
        try:
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
        except Exception:  # whatever the hub's HTTP library raises, the hub is out of reach
            constants.HF_HUB_OFFLINE = True
    try:
        yield not (needed and constants.HF_HUB_OFFLINE)
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def _no_bars() -> Generator[None]:
    """Without the client's progress bars: an adapter is there before one is drawn."""
    shown = not utils.are_progress_bars_disabled()
    if shown:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()


def _require_sizes(repository: str, revision: str | None, most: Mapping[str, int]) -> None:
    """Raise unless the hub has every file, none of them larger than it may be: before anything is downloaded."""
    hub = huggingface_hub.HfApi(endpoint=constants.ENDPOINT)
    info = hub.model_info(repository, revision=revision, files_metadata=True, timeout=HUB_TIMEOUT)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if missing := [name for name in most if name not in sizes]:
        raise InputError(
            f"the repository {repository!r} must hold {' and '.join(most)}; received one without "
            f"{' and '.join(missing)}. Pass one that an adapter was pushed to."
        )
    for name, bound in most.items():
        if sizes[name] > bound:
            raise InputError(
                f"{name} of {repository!r} must have at most {bound:,} bytes; received {sizes[name]:,}. Nothing was "
                "downloaded: pass another repository."
            )


def _out_of_reach() -> tuple[str, str]:
    return (
        f"{constants.ENDPOINT} cannot be reached and the cache lacks it",
        "Connect to the internet, or pass a folder.",
    )


def _reason(error: Exception, revision: str | None, *, wrote: bool) -> tuple[str, str]:
    """Why the hub did not do what it was asked to read or to write, and what to do."""
    endpoint = constants.ENDPOINT
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{endpoint} has no revision {revision!r} of it", "Pass a branch, a tag or a commit that it has."
    if isinstance(error, errors.GatedRepoError):
        return f"{endpoint} gives access to it on request only", "Ask for access on its page, and log in."
    if wrote and status in (401, 403):
        remedy = "Run 'hf auth login', or pass a token with the right to write there."
        return f"{endpoint} refused the token, or the lack of one (status {status})", remedy
    # Without a token the hub does not tell what is private from what is not there.
    if status == 401 or isinstance(error, errors.RepositoryNotFoundError):
        remedy = "Check the name; for a private one run 'hf auth login', or set HF_TOKEN to a token that may read it."
        return f"{endpoint} has none of this name, or keeps it private", remedy
    if status is not None:
        return f"{endpoint} answered with status {status}", "Try again later."
    return _line(str(error)) or type(error).__name__, "Check the name and the connection, and try again."


def _line(text: str) -> str:
    return " ".join(text.split())[:240].rstrip(".")
