"""Adapters pushed to a hub on the loopback address by the client's own requests, and loaded from it again."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants

import cdc
from cdc.readme import readme
from tests.cdc.hub_server import WRITER, Hub, own_hub, point_to

# The client's own, of the HTTP library that it uploads with.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

DATA = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with own_hub(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture(scope="module")
def dataset(colour_folder: Path) -> cdc.ImageDataset:
    return cdc.load_dataset(colour_folder)


@pytest.fixture(scope="module")
def trained(tiny_backbone: cdc.Backbone, dataset: cdc.ImageDataset) -> cdc.Adapter:
    training = cdc.TrainingConfig(epochs=2, batch_size=8, learning_rate=0.05, seed=7)
    settings = cdc.FitSettings(shots=4, training=training, views=2, cache=None)
    return cdc.fit(dataset, cdc.CDCConfig(templates=2, calibrate=False), tiny_backbone, settings)


@pytest.fixture(scope="module")
def untrained(tiny_backbone: cdc.Backbone) -> cdc.Adapter:
    return cdc.fit(DATA, cdc.ZeroShotConfig(), tiny_backbone)


@pytest.fixture(scope="module")
def files(trained: cdc.Adapter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The two files of the trained adapter, as others have pushed them."""
    folder = tmp_path_factory.mktemp("saved")
    trained.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refused(name: str, pattern: str, **arguments: str) -> str:
    """The one line that refuses to load `name`."""
    with pytest.raises(cdc.InputError, match=pattern) as error:
        cdc.load_adapter(name, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def downloads(hub: Hub) -> list[str]:
    return [request.rsplit("/", 1)[1] for request in hub.requests if "/resolve/" in request]


def test_pushed_and_loaded_predicts_the_same(hub, trained, dataset):
    pushed = trained.push_to_hub("me/colours", token=WRITER)
    assert pushed.commit == hub.repositories["me/colours"].branches["main"]
    loaded = cdc.load_adapter("me/colours")
    images = [example.path for example in dataset.test]
    assert torch.equal(loaded.predict(images).belief, trained.predict(images).belief)
    assert loaded.card == trained.card
    assert loaded.source == pushed
    assert trained.source is None
    assert repr(loaded).endswith(f"4 classes, 4 shots, {pushed}>")
    assert pushed.to_record() == {"repository": "me/colours", "commit": pushed.commit}


def test_two_files_are_downloaded_and_nothing_else(hub, files, tiny_backbone, tmp_path):
    hub.publish("me/colours", {**files, "pytorch_model.bin": b"code", "more/card.json": b"{}", "README.md": b"#"})
    assert cdc.load_adapter("me/colours", backbone=tiny_backbone)
    assert set(downloads(hub)) == {"card.json", "adapter.safetensors"}
    assert not [request for request in hub.requests if "more/" in request]
    before = len(downloads(hub))
    cdc.load_adapter("me/colours", backbone=tiny_backbone)  # from the cache
    assert len(downloads(hub)) == before
    snapshots = tmp_path / "hub-cache" / "models--me--colours" / "snapshots"
    assert sorted(path.name for path in snapshots.rglob("*") if path.is_file()) == ["adapter.safetensors", "card.json"]


@pytest.mark.usefixtures("hub")
def test_a_commit_holds_on_to_its_state(trained, untrained):
    first = trained.push_to_hub("me/pets", token=WRITER)
    second = untrained.push_to_hub("me/pets", token=WRITER, commit_message="untrained")
    assert first != second
    for name, revision in ((str(first), None), ("me/pets", first.commit)):
        pinned = cdc.load_adapter(name, revision=revision)
        assert (pinned.card, pinned.source) == (trained.card, first)
    assert cdc.load_adapter("me/pets").card == untrained.card
    side = trained.push_to_hub("me/pets", token=WRITER, revision="side")
    assert cdc.load_adapter("me/pets").source == second
    assert cdc.load_adapter("me/pets@side").source == side
    refused("me/pets", r"has no revision 'v9' of it\. Pass a branch", revision="v9")
    refused("me/pets@a", "one revision must be asked for; received 'a' .* and revision='b'", revision="b")


def test_out_of_reach_the_cache_serves(hub, files, tiny_backbone, monkeypatch):
    commit = hub.publish("me/colours", files)
    online = cdc.load_adapter("me/colours", backbone=tiny_backbone)
    asked = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("me/colours", f"me/colours@{commit}"):
        offline = cdc.load_adapter(name, backbone=tiny_backbone)
        assert (offline.card, offline.source) == (online.card, online.source)
    assert len(hub.requests) == asked
    refused("me/other", r"cannot be reached and the cache lacks it\. Connect to the internet, or pass a folder")


@pytest.mark.usefixtures("hub")
def test_a_hub_out_of_reach_is_said_at_once(trained, monkeypatch, capfd):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    point_to(nowhere, monkeypatch)
    started = time.monotonic()
    refused("me/pets", f"there is no such folder, and {nowhere} cannot be reached and the cache lacks it")
    with pytest.raises(cdc.InputError, match=f"must be pushed to the model hub; {nowhere} cannot be reached"):
        trained.push_to_hub("me/pets", token=WRITER)
    assert time.monotonic() - started < 5  # with its retries the client takes most of a minute
    assert "Retrying" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("name", ["card.json", "adapter.safetensors"])
def test_a_download_that_was_tampered_with_is_refused(hub, files, tiny_backbone, name):
    hub.publish("me/colours", files)
    changed = files[name].replace(b'"red"', b'"rid"') if name == "card.json" else bytearray(files[name])
    if name != "card.json":
        changed[-1] ^= 1
    hub.served[name] = bytes(changed)
    said = refused("me/colours", "must be as they were saved; their checksum differs", backbone=tiny_backbone)
    assert "Delete that folder to download me/colours@" in said


def test_what_is_not_there_or_may_not_be_read_is_one_clear_error(hub, files, tiny_backbone, monkeypatch):
    hub.publish("me/secret", files, private=True)
    hub.publish("me/half", {"card.json": files["card.json"]})
    hub.publish("me/asked", files)
    hub.repositories["me/asked"].gated = True
    for name in ("me/secret", "me/none"):  # the hub does not tell them apart
        refused(
            name, r"there is no such folder, and http.* has none of this name, or keeps it private\. Check the name"
        )
    refused("me/half", r"must hold card.json and adapter.safetensors; received one without adapter.safetensors\. Pass")
    refused("me/asked", r"gives access to it on request only\. Ask for access")
    monkeypatch.setenv("HF_TOKEN", WRITER)
    assert cdc.load_adapter("me/secret", backbone=tiny_backbone).class_names == ("blue", "green", "grey", "red")
    refused("me/none", "has none of this name, or keeps it private")
    hub.broken = 503
    refused("me/secret", r"answered with status 503\. Try again later")


def test_a_file_too_large_is_not_downloaded(hub, files):
    hub.publish("me/colours", files)
    hub.sizes["adapter.safetensors"] = 2**40
    refused("me/colours", r"must have at most 1,073,741,824 bytes; received 1,099,511,627,776\. Nothing was downloaded")
    assert not downloads(hub)


def test_a_folder_goes_before_the_hub(hub, trained, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained.save("me/colours")
    assert cdc.load_adapter("me/colours", backbone=tiny_backbone).source is None
    refused("me/colours", r"a revision must be one of a repository.* received revision='v1'.*Leave", revision="v1")
    for name in ("./me/pets", "me/pets/", "pets", Path("me/pets")):
        refused(name, "an adapter directory must hold card.json")
    assert not hub.requests


def test_a_push_that_is_refused_says_why(hub, trained, untrained, monkeypatch):
    for token in (None, "hf_reader"):
        with pytest.raises(
            cdc.InputError, match=r"must be pushed.* refused the token, or the lack of one \(status 401"
        ):
            trained.push_to_hub("me/pets", token=token)
    for name in ("pets", "me/pets@v1", "a/b/c", "../pets", "me/pets/"):
        with pytest.raises(cdc.InputError, match="must be named owner/name; received"):
            trained.push_to_hub(name, token=WRITER)
    assert not hub.repositories
    hub.publish("me/open", {})
    with pytest.raises(cdc.InputError, match="must be private; the one on the model hub is public"):
        untrained.push_to_hub("me/open", token=WRITER, private=True)
    assert list(hub.repositories["me/open"].commits.values()) == [{}]
    untrained.push_to_hub("me/secret", token=WRITER, private=True)
    assert hub.repositories["me/secret"].private
    asked = len(hub.requests)
    broken = cdc.Adapter(trained.method, trained.card)
    monkeypatch.setattr(broken.method, "state_dict", lambda: {"level": torch.tensor(float("nan"))})
    with pytest.raises(cdc.InputError, match="must be finite"):
        broken.push_to_hub("me/pets", token=WRITER)
    assert len(hub.requests) == asked


def front_matter(text: str) -> dict[str, object]:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_readme_says_what_the_card_knows(hub, trained, dataset):
    scores, _ = cdc.evaluate(trained, dataset.test, dataset.class_names, cache=None)
    commit = trained.push_to_hub(
        "me/colours", token=WRITER, licence="mit", evaluation={"test images | ours": scores}
    ).commit
    text = hub.repositories["me/colours"].commits[commit]["README.md"].decode()
    assert front_matter(text) == {
        "library_name": "causalvlm", "license": "mit", "tags": ["causalvlm", "image-classification", "clip", "cdc"],
    }  # fmt: skip
    card = trained.card
    facts = {
        "data set": card.data.name, "fingerprint of its files and labels": card.data.fingerprint, "classes": "all",
        "images of a class, at most": 4, "seed of their draw": card.data.seed, "seed of training": 7, "epochs": 2,
        "template": card.template, "fingerprint of the backbone's weights": card.backbone.fingerprint,
    }  # fmt: skip
    for what, value in facts.items():
        assert f"| {what} | `{value}` |" in text
    assert "`blue`, `green`, `grey`, `red`" in text
    settings = json.loads(text.split("```json\n")[1].split("```")[0])
    assert settings["method"]["templates"] == 2
    assert settings["training"]["learning_rate"] == 0.05
    assert rf"| test images \| ours | {scores.n} | {scores.accuracy:.1%} | {scores.ece:.3f} |" in text
    assert 'cdc.load_adapter("me/colours", backbone=cdc.load_backbone("path/to/the/model"))' in text
    assert card.backbone.name not in text  # a path of the author's machine
    assert "No licence" not in text


def test_the_readme_makes_nothing_up(untrained):
    text = readme(untrained.card, "me/pets")
    assert "license" not in front_matter(text)
    assert "base_model" not in front_matter(text)
    assert "Nothing was given with this push." in text
    assert "No licence was named with this push." in text
    for word in ("epochs", "seed", "augmentation", "seconds"):
        assert word not in text


@pytest.mark.parametrize(
    ("name", "pretrained", "base"),
    [
        ("picto", None, None),
        ("hf-hub:timm/ViT-B-16-SigLIP", None, "timm/ViT-B-16-SigLIP"),
        ("ViT-B/16", "openai", "timm/vit_base_patch16_clip_224.openai"),
    ],
)
def test_a_backbone_with_a_public_name_is_the_base_model(untrained, name, pretrained, base):
    backbone = replace(untrained.card.backbone, name=name, pretrained=pretrained)
    text = readme(replace(untrained.card, backbone=backbone), "me/pets")
    assert front_matter(text).get("base_model") == base
    assert front_matter(text).get("base_model_relation") == (base and "adapter")
    assert 'cdc.load_adapter("me/pets")' in text
    assert f"`{name}`" in text


def test_names_in_the_readme_are_names_and_no_markup(untrained):
    names = ("a`b", "c``d`", "<script>", "|", *(f"class {row}" for row in range(200)))
    text = readme(replace(untrained.card, class_names=names), "me/pets")
    assert "``a`b``, ``` c``d` ```, `<script>`, `|`, `class 0`" in text
    assert "`class 95`, and 104 more in `card.json`" in text


def test_the_clients_own_settings_and_a_backbone_from_the_same_hub(hub, tiny_clip_folder, tmp_path, monkeypatch):
    """Push and load in a process that knows nothing but the client's variables; then here, from its cache alone."""
    hub.publish("someone/tiny", {file.name: file.read_bytes() for file in tiny_clip_folder.iterdir()})
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": constants.HF_HUB_CACHE, "HF_TOKEN": WRITER}
    code = (
        "import cdc; data = cdc.ImageDataset('pets', ('cat', 'dog'), train=(), validation=(), test=());"
        "backbone = cdc.load_backbone('hf-hub:someone/tiny');"
        "print(cdc.fit(data, cdc.ZeroShotConfig(), backbone).push_to_hub('me/pets'));"
        "print(cdc.load_adapter('me/pets'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, **settings, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN_PATH": str(tmp_path / "token")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pushed, shown = done.stdout.splitlines()
    repository = hub.repositories["me/pets"]
    assert pushed == f"me/pets@{repository.branches['main']}"
    assert shown == f"<Adapter zero-shot on hf-hub:someone/tiny: 2 classes, {pushed}>"
    assert front_matter(repository.commits[repository.branches["main"]]["README.md"].decode())["base_model"] == (
        "someone/tiny"
    )
    asked = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert repr(cdc.load_adapter("me/pets")) == shown
    assert len(hub.requests) == asked
