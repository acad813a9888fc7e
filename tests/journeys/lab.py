"""JupyterLab as a person has it: ``jupyter lab`` in a folder of notebooks, asked what the page in a browser asks."""

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import websocket

PATIENCE = 280.0
"""Seconds that the server may take to start, and a cell to run."""


@dataclass(frozen=True)
class Lab:
    """A server on the loopback address, by its address and token."""

    url: str
    token: str

    def ask(self, path: str, method: str = "GET", body: object = None) -> Any:
        """What the server answers."""
        asked = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            text = answer.read().decode()
        return json.loads(text) if text and "json" in answer.headers.get_content_type() else text

    def open(self, path: str) -> nbformat.NotebookNode:
        """A notebook as the server hands it to the page."""
        return nbformat.from_dict(self.ask(f"api/contents/{path}")["content"])

    def save(self, path: str, notebook: nbformat.NotebookNode) -> None:
        """Save a notebook as the page does."""
        self.ask(f"api/contents/{path}", "PUT", {"type": "notebook", "format": "json", "content": notebook})

    @contextmanager
    def kernel(self, path: str) -> Iterator["Kernel"]:
        """The kernel that opening a notebook starts: of the name that the notebook asks for."""
        asked = {"path": path, "name": path, "type": "notebook", "kernel": dict(self.open(path).metadata.kernelspec)}
        session = self.ask("api/sessions", "POST", asked)
        channels = f"{self.url.replace('http', 'ws', 1)}api/kernels/{session['kernel']['id']}/channels"
        socket = websocket.create_connection(channels, timeout=PATIENCE, header=[f"Authorization: token {self.token}"])
        try:
            yield Kernel(socket)
        finally:
            socket.close()
            self.ask(f"api/sessions/{session['id']}", "DELETE")


@dataclass(frozen=True)
class Kernel:
    """A kernel at the other end of the page's socket."""

    socket: websocket.WebSocket

    def run(self, source: str) -> tuple[int, list[nbformat.NotebookNode]]:
        """Run a cell; its number, and what is shown below it, an error included."""
        name = uuid.uuid4().hex
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        header = {"msg_id": name, "msg_type": "execute_request", "username": "", "session": "", "version": "5.3"}
        self.socket.send(
            json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content})
        )
        count, outputs = 0, []
        waited_for = {"reply", "idle"}
        while waited_for:
            said = json.loads(self.socket.recv())
            if said["parent_header"].get("msg_id") != name:
                continue
            match said["msg_type"]:
                case "execute_reply":
                    count = said["content"]["execution_count"]
                    waited_for.discard("reply")
                case "status" if said["content"]["execution_state"] == "idle":
                    waited_for.discard("idle")
                case "stream" | "display_data" | "execute_result" | "error":
                    outputs.append(nbformat.v4.output_from_msg(said))
                case _:
                    pass
        return count, outputs

    def run_all(self, notebook: nbformat.NotebookNode) -> None:
        """Run every cell of code in order and put its outputs below it, up to the first error."""
        for cell in (one for one in notebook.cells if one.cell_type == "code"):
            cell.execution_count, cell.outputs = self.run(cell.source)
            if any(output.output_type == "error" for output in cell.outputs):
                break


@contextmanager
def jupyter_lab(folder: Path, home: Path) -> Iterator[Lab]:
    """``jupyter lab`` of this environment in `folder`, with nobody's own settings: its files are in `home`."""
    own = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    command = [str(Path(sys.executable).parent / "jupyter"), "lab", "--no-browser", "--ip=127.0.0.1", str(folder)]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    log = home / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **own, "IPYTHONDIR": str(home / "ipython"), "MPLBACKEND": ""},
        )
    try:
        yield _when_ready(server, home / "runtime", log)
    finally:
        server.terminate()
        server.wait(timeout=60)


def _when_ready(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> Lab:
    """The server once it answers: it writes its address and token into a file of its own."""
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        for file in runtime.glob(f"jpserver-{server.pid}.json"):
            try:
                facts = json.loads(file.read_text())
                lab = Lab(facts["url"], facts["token"])
                lab.ask("api/status")
            except (ValueError, OSError):
                continue  # half written, or not listening yet
            return lab
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab must start; it said:\n{log.read_text()}")
