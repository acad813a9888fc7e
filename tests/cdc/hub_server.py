"""A model hub on the loopback address: what the client asks of the real one, over HTTP, with repositories in memory."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from huggingface_hub import constants

WRITER = "hf_writer"
"""The one token that may write, and read what is private."""

NAME = r"(?P<name>[\w.-]+/[\w.-]+)"


@dataclass
class Repository:
    """Commits, each with all of its files; branches that name them."""

    private: bool
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        parent = self.branches.get(branch, "")
        whole = {**self.commits.get(parent, {}), **files}
        said = repr((parent, len(self.commits), sorted(whole.items())))
        self.branches[branch] = hashlib.sha1(said.encode()).hexdigest()
        self.commits[self.branches[branch]] = whole
        return self.branches[branch]

    def resolve(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


class Hub(ThreadingHTTPServer):
    """The server, and what it keeps.

    Attributes:
        repositories: by name.
        stored: large files by their SHA-256.
        requests: what was asked, as ``"GET /path"``.
        served: content sent in place of a file's own, by its path in the repository.
        sizes: said in place of a file's own, by its path in the repository.
        broken: status of every answer, if any.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.served: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}
        self.broken: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def publish(self, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """A repository as others have pushed it; returns its commit."""
        return self.repositories.setdefault(name, Repository(private)).commit("main", files)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Nothing: a test reads `requests`."""

    def handle_any(self) -> None:
        self.path_alone = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {self.path_alone}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.broken and self.path_alone != "/":
            return self.send(self.server.broken, {"error": "out of order"})
        for methods, pattern, answer in self.ROUTES:
            found = re.fullmatch(pattern, self.path_alone)
            if found and self.command in methods:
                return answer(self, **found.groupdict())
        return self.send(404, {"error": f"no such page: {self.command} {self.path_alone}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815 - http.server's names

    @property
    def may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {WRITER}"

    def send(self, status: int, content: object = b"", **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def find(self, name: str) -> Repository | None:
        """The repository, or none and an answer that says so, in the real hub's way."""
        repository = self.server.repositories.get(name)
        if repository is not None and repository.gated:
            return self.send(403, {"error": "Ask for access."}, X_Error_Code="GatedRepo")
        if repository is not None and (self.may_write or not repository.private):
            return repository
        if "Authorization" in self.headers:
            self.send(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        else:
            self.send(401, {"error": "Invalid username or password."}, X_Error_Message="Invalid username or password.")
        return None

    def find_commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self.find(name)
        if repository is None:
            return None
        commit = repository.resolve(revision)
        if commit is None:
            self.send(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
            return None
        return commit, repository.commits[commit]

    def front(self) -> None:
        self.send(200)

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self.may_write:
            return self.send(401, {"error": "Invalid username or password."})
        known = name in self.server.repositories
        if not known:
            repository = self.server.repositories[name] = Repository(private=asked.get("visibility") == "private")
            repository.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        return self.send(409 if known else 200, {"url": f"{self.server.url}/{name}"})

    def validate(self) -> None:
        front = json.loads(self.body)["content"].split("---\n")[1]
        problems = [] if isinstance(yaml.safe_load(front), dict) else [{"message": "no mapping"}]
        self.send(400 if problems else 200, {"errors": problems, "warnings": []})

    def branch(self, name: str, revision: str) -> None:
        repository = self.find(name)
        if repository is not None:
            known = revision in repository.branches
            repository.branches.setdefault(revision, repository.branches["main"])
            self.send(409 if known else 200, {})

    def preupload(self, name: str, revision: str) -> None:
        if self.find_commit(name, revision):
            paths = [file["path"] for file in json.loads(self.body)["files"]]
            modes = {path: "lfs" if path.endswith(".safetensors") else "regular" for path in paths}
            files = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
            self.send(200, {"files": files})

    def batch(self, name: str) -> None:
        if self.find(name):
            objects = json.loads(self.body)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{self.server.url}/stored/{one['oid']}"}}
            self.send(200, {"transfer": "basic", "objects": objects})

    def store(self, digest: str) -> None:
        fits = hashlib.sha256(self.body).hexdigest() == digest
        if fits:
            self.server.stored[digest] = self.body
        self.send(200 if fits else 400)

    def stored(self, digest: str) -> None:
        self.send(200, self.server.stored[digest])

    def commit(self, name: str, revision: str) -> None:
        if not self.may_write:
            return self.send(403, {"error": "You have no right to write."})
        lines = [json.loads(line) for line in self.body.splitlines()]
        files = {line["value"]["path"]: self.content(line) for line in lines if line["key"] != "header"}
        repository = self.server.repositories[name]
        commit = repository.commit(revision, files)
        return self.send(200, {"commitUrl": f"{self.server.url}/{name}/commit/{commit}", "commitOid": commit})

    def content(self, line: dict[str, Any]) -> bytes:
        value = line["value"]
        return self.server.stored[value["oid"]] if line["key"] == "lfsFile" else base64.b64decode(value["content"])

    def info(self, name: str, revision: str | None = None) -> None:
        found = self.find_commit(name, revision or "main")
        if found:
            commit, files = found
            siblings = [{"rfilename": path, "size": self.size(path, content)} for path, content in files.items()]
            private = self.server.repositories[name].private
            self.send(200, {"id": name, "sha": commit, "private": private, "siblings": siblings})

    def tree(self, name: str, revision: str) -> None:
        found = self.find_commit(name, revision)
        if found:
            files = found[1].items()
            listed = [{"path": path, "size": len(data), "oid": blob(data), "type": "file"} for path, data in files]
            self.send(200, listed)

    def size(self, path: str, content: bytes) -> int:
        return self.server.sizes.get(path, len(content))

    def file(self, name: str, revision: str, path: str) -> None:
        """A small file itself; a large one by way of a redirection to another host, as the real hub's store is."""
        found = self.find_commit(name, revision)
        if found is None:
            return None
        commit, files = found
        if path not in files:
            return self.send(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = self.server.served.get(path, files[path])
        if not path.endswith(".safetensors"):
            return self.send(200, content, ETag=f'"{blob(content)}"', X_Repo_Commit=commit)
        digest = hashlib.sha256(content).hexdigest()
        self.server.stored[digest] = content
        return self.send(
            302, X_Repo_Commit=commit, X_Linked_ETag=f'"{digest}"', X_Linked_Size=str(len(content)),
            Location=f"{self.server.url.replace('127.0.0.1', 'localhost')}/stored/{digest}",
        )  # fmt: skip

    ROUTES: ClassVar[list[tuple[tuple[str, ...], str, Callable[..., None]]]] = [
        (("HEAD", "GET"), "/", front),
        (("POST",), "/api/repos/create", create),
        (("POST",), "/api/validate-yaml", validate),
        (("POST",), f"/api/models/{NAME}/branch/(?P<revision>.+)", branch),
        (("POST",), f"/api/models/{NAME}/preupload/(?P<revision>.+)", preupload),
        (("POST",), f"/{NAME}.git/info/lfs/objects/batch", batch),
        (("PUT",), r"/stored/(?P<digest>\w+)", store),
        (("GET", "HEAD"), r"/stored/(?P<digest>\w+)", stored),
        (("POST",), f"/api/models/{NAME}/commit/(?P<revision>.+)", commit),
        (("GET",), f"/api/models/{NAME}", info),
        (("GET",), f"/api/models/{NAME}/revision/(?P<revision>.+)", info),
        (("GET",), f"/api/models/{NAME}/tree/(?P<revision>[^/]+)/?", tree),
        (("GET", "HEAD"), f"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", file),
    ]


def blob(content: bytes) -> str:
    """The hash that git has for a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def own_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    """A hub for one test, an empty cache in `folder`, and nobody logged in."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # whatever HF_HUB_OFFLINE said when this process began
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with Hub() as hub:
        point_to(hub.url, monkeypatch)
        yield hub


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``HF_ENDPOINT`` does before the client is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
