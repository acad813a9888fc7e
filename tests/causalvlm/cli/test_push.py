"""`push` as a person types it, and the commands that read an adapter from the hub."""

import json

import pytest

import cdc
from causalvlm.cli.main import run
from tests.cdc.hub_server import WRITER, own_hub

# The client's own, of the HTTP library that it uploads with.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))
    with own_hub(tmp_path, monkeypatch) as server:
        monkeypatch.setenv("HF_TOKEN", WRITER)
        yield server


@pytest.fixture(scope="module")
def saved(colour_folder, tiny_backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    cdc.fit(cdc.load_dataset(colour_folder), cdc.ZeroShotConfig(), tiny_backbone).save(folder)
    return folder


def test_pushed_with_its_evaluation_and_used_from_the_hub(hub, saved, colour_folder, tmp_path, capsys):
    scores, out = tmp_path / "scores.json", tmp_path / "out.json"
    assert run(["evaluate", str(saved), str(colour_folder), "--classes", "new", "--json", str(scores)]) == 0
    assert run(["push", str(saved), "me/colours", "--evaluation", str(scores), "--json", str(out)]) == 0
    commit = hub.repositories["me/colours"].branches["main"]
    assert f"pushed to me/colours as commit {commit}" in capsys.readouterr().out
    assert json.loads(out.read_text())["commit"] == commit
    measured = json.loads(scores.read_text())
    text = hub.repositories["me/colours"].commits[commit]["README.md"].decode()
    assert f"new classes | {measured['n']} | {measured['accuracy']:.1%} | {measured['ece']:.3f} |" in text

    image = str(colour_folder / "red" / "00.png")
    answers = []
    for name in (str(saved), "me/colours", f"me/colours@{commit}"):
        assert run(["predict", name, image]) == 0
        captured = capsys.readouterr()
        answers.append(captured.out)
        assert (f"causalvlm: me/colours at commit {commit}\n" in captured.err) == name.startswith("me/")
    assert answers == [answers[0]] * 3
    assert run(["evaluate", "me/colours", str(colour_folder)]) == 0
    assert run(["predict", "me/none", image]) == 2
    assert "there is no such folder, and http" in capsys.readouterr().err


def test_an_evaluation_of_another_adapter_is_refused(hub, saved, tiny_backbone, tmp_path, capsys):
    data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
    card = cdc.fit(data, cdc.ZeroShotConfig(), tiny_backbone).card.to_record()
    other = {"card": card, "accuracy": 1.0, "ece": 0.0, "aurc": 0.0, "n": 9, "data": "pets", "classes": "all"}
    for content, said in ((json.dumps(other), "is of another"), ("{}", "which is none"), ("[", "which is none")):
        (tmp_path / "scores.json").write_text(content)
        assert run(["push", str(saved), "me/colours", "--evaluation", str(tmp_path / "scores.json")]) == 2
        assert said in capsys.readouterr().err
    assert not hub.repositories
