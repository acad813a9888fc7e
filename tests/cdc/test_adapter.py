"""An adapter that is saved, moved, loaded, damaged and asked about new classes."""

import hashlib
import io
import json
import os
import random
import shutil
import weakref
from dataclasses import replace

import pytest
import torch
from PIL import Image

import cdc
from cdc.beliefs.evidence import EvidenceFunction
from cdc.methods.registry import method_from_record, method_record


@pytest.fixture(scope="module")
def dataset(colour_folder) -> cdc.ImageDataset:
    return cdc.load_dataset(colour_folder)


@pytest.fixture(scope="module")
def settings() -> cdc.FitSettings:
    training = cdc.TrainingConfig(epochs=3, batch_size=8, learning_rate=0.05)
    return cdc.FitSettings(shots=4, training=training, views=2, cache=None)


METHODS = [cdc.CDCConfig(templates=2), cdc.CoOpConfig(), cdc.ZeroShotConfig()]


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_predicts_the_same(tiny_backbone, dataset, settings, method, tmp_path):
    adapter = cdc.fit(dataset, method, tiny_backbone, settings)
    images = [example.path for example in dataset.test]
    adapter.save(tmp_path / "adapter")
    loaded = cdc.load_adapter(tmp_path / "adapter")
    assert torch.equal(loaded.predict(images).belief, adapter.predict(images).belief)
    assert loaded.card == adapter.card
    assert loaded.class_names == dataset.class_names
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "adapter").iterdir()}
    assert set(sizes) == {"card.json", "adapter.safetensors"}
    assert sizes["adapter.safetensors"] < 20_000  # prompts only, not CLIP


@pytest.mark.parametrize("method", METHODS)
def test_class_names_are_swapped_after_training(tiny_backbone, dataset, settings, method):
    adapter = cdc.fit(dataset, method, tiny_backbone, settings)
    images = [example.path for example in dataset.test[:3]]
    names = ["one", "two", "three", "four", "five"]
    prediction = adapter.predict(images, names)
    assert prediction.probabilities.shape == (3, 5)
    turned = adapter.predict(images, names[::-1])
    torch.testing.assert_close(turned.probabilities.flip(-1), prediction.probabilities, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("names", ["dog", [], ["polar bear", "dog", "Polar_bear"]])
def test_answers_are_chosen_among_a_list_of_distinct_names(tiny_backbone, dataset, settings, names):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone, settings=settings)
    with pytest.raises(cdc.InputError, match=r"class_names must be a list|'polar bear' and 'Polar_bear'"):
        adapter.predict([dataset.test[0].path], names)


def test_names_that_training_did_not_see_stay_near_the_hand_crafted_template(tiny_backbone, dataset, settings):
    adapter = cdc.fit(dataset, cdc.CDCConfig(templates=2, anchoring=0.0), tiny_backbone, settings)
    free = adapter.method.classifier(["red", "purple"]).text
    hand = tiny_backbone.encode_texts(["a photo of a red.", "a photo of a purple."])
    adapter.method.config = replace(adapter.method.config, anchoring=1.0)
    held = adapter.method.classifier(["red", "purple"]).text
    torch.testing.assert_close(held[:, 0], free[:, 0])  # trained: left alone
    torch.testing.assert_close(held[:, 1], hand[1].expand(2, -1), atol=1e-5, rtol=1e-4)
    assert (free[:, 1] - hand[1]).norm(dim=-1).min() > 1e-3


def test_pictures_and_files_give_the_same(tiny_backbone, dataset, settings):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone, settings)
    path = dataset.test[0].path
    with Image.open(path) as image:
        assert torch.equal(adapter.predict([image.convert("RGB")]).belief, adapter.predict([str(path)]).belief)
    with pytest.raises(cdc.InputError, match="at least one picture or path; received none"):
        adapter.predict([])


def test_a_prediction_knows_its_files_and_names(tiny_backbone, dataset, settings):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone, settings)
    files = [example.path for example in dataset.test][:3]
    predicted = adapter.predict([*files, Image.new("RGB", (8, 8))])
    assert predicted.files == (*map(str, files), "")
    assert predicted.class_names == adapter.class_names
    assert adapter.predict(files[0]).files == adapter.predict(str(files[0])).files == (str(files[0]),)
    assert adapter.predict(Image.new("RGB", (8, 8))).files == ("",)
    assert adapter.classify(str(files[0]), cache=None).prediction.files == (str(files[0]),)
    classified = adapter.classify(files, ["mauve", "teal"], cache=None).prediction
    assert classified.to_frame().file.tolist() == [*map(str, files)]
    assert set(classified.to_frame().label) <= {"mauve", "teal"}
    assert repr(adapter) == f"<Adapter zero-shot on {tiny_backbone.name}: {len(adapter.class_names)} classes>"


@pytest.mark.parametrize("method", [cdc.ZeroShotConfig(), cdc.MaPLeConfig(depth=1)])
def test_a_batch_of_pictures_is_in_memory_at_a_time(tiny_backbone, dataset, settings, method, monkeypatch):
    adapter = cdc.fit(dataset, method, tiny_backbone, settings)
    images = [example.path for example in dataset.test]
    expected = adapter.predict(images).probabilities
    alive, most = set(), []

    def preprocess(picture):
        pixels = tiny_backbone.preprocess(picture)
        alive.add(id(pixels))
        weakref.finalize(pixels, alive.discard, id(pixels))
        most.append(len(alive))
        return pixels

    monkeypatch.setattr("cdc.adapter.PREDICTED_AT_ONCE", 3)
    backbone = replace(tiny_backbone, preprocess=preprocess)
    monkeypatch.setattr(cdc.Adapter, "backbone", property(lambda _: backbone))
    torch.testing.assert_close(adapter.predict(images).probabilities, expected)
    assert len(most) == len(images)
    assert max(most) <= 2 * 3  # the batch that is read, and the one before it


def test_predict_shows_a_bar_on_a_terminal(tiny_backbone, dataset, settings, monkeypatch):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone, settings)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    adapter.predict([example.path for example in dataset.test], progress="looking at pictures")
    assert "looking at pictures" in terminal.getvalue()
    assert f"{len(dataset.test)}/{len(dataset.test)}" in terminal.getvalue()


@pytest.mark.parametrize("method", [cdc.ZeroShotConfig(), cdc.MaPLeConfig(depth=1)])
def test_what_cannot_be_read_is_left_out_by_classify(tiny_backbone, dataset, settings, method, tmp_path):
    """Whatever it is: a link to itself used to end the whole call where the classifier reads pixels."""
    adapter = cdc.fit(dataset, method, tiny_backbone, settings)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    Image.new("RGB", (20_000, 1)).save(tmp_path / "long.png")
    bad = sorted(tmp_path.iterdir())
    found = adapter.classify([*bad, dataset.test[0].path], cache=None)
    assert found.kept == (3,)
    assert [path for path, _ in found.unreadable] == bad
    with pytest.raises(cdc.UnreadableImageError, match=r"long\.png: it is 20000 x 1 pixels"):
        adapter.predict([dataset.test[0].path, tmp_path / "long.png"])


def test_zero_shot_is_open_clips_own_softmax(tiny_backbone, dataset, settings):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone, settings)
    paths = [example.path for example in dataset.test]
    pixels = torch.stack([tiny_backbone.preprocess(cdc.read_image(path)) for path in paths])
    images = tiny_backbone.encode_images(pixels)
    text = tiny_backbone.encode_texts([f"a photo of a {name}." for name in dataset.class_names])
    expected = (tiny_backbone.logit_scale * images @ text.T).softmax(-1)
    torch.testing.assert_close(adapter.predict(paths).probabilities, expected)


def test_nothing_is_overwritten_without_force(tiny_backbone, dataset, settings, tmp_path):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone, settings)
    adapter.save(tmp_path)
    with pytest.raises(cdc.InputError, match=r"must not exist yet; received .*card.json"):
        adapter.save(tmp_path)
    adapter.save(tmp_path, force=True)


def test_damage_is_named(tiny_backbone, dataset, settings, tmp_path):
    with pytest.raises(cdc.InputError, match=r"must hold card.json and adapter.safetensors; received .* without card"):
        cdc.load_adapter(tmp_path)
    cdc.fit(dataset, cdc.CoOpConfig(), tiny_backbone, settings).save(tmp_path)
    weights = tmp_path / "adapter.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(cdc.InputError, match="their checksum differs"):
        cdc.load_adapter(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(cdc.InputError, match="must be JSON"):
        cdc.load_adapter(tmp_path)


def rewrite(folder, *, change=dict, weights=None):
    """Change card or weights of an adapter as someone would who knows how its checksum is made."""
    from safetensors.torch import load_file, save

    card = json.loads((folder / "card.json").read_text())
    del card["sha256"]
    change(card)
    file = folder / "adapter.safetensors"
    content = save(weights(load_file(file))) if weights else file.read_bytes()
    (folder / "adapter.safetensors").write_bytes(content)
    text = json.dumps(card, sort_keys=True)
    digest = hashlib.sha256(text.encode() + b"\n" + content).hexdigest()
    (folder / "card.json").write_text(json.dumps({"sha256": digest, **card}))


@pytest.fixture(scope="module")
def coop_folder(tiny_backbone, dataset, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coop")
    cdc.fit(dataset, cdc.CDCConfig(templates=2, calibrate=False), tiny_backbone, settings).save(folder)
    return folder


@pytest.fixture
def saved(coop_folder, tmp_path):
    return shutil.copytree(coop_folder, tmp_path / "copy")


def test_another_backbone_is_refused_in_every_precision(saved, tiny_clip_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    assert cdc.load_adapter(saved, backbone=cdc.load_backbone(str(tiny_clip_folder), precision="bf16"))
    other = shutil.copytree(tiny_clip_folder, tmp_path / "other")
    weights = load_file(other / "open_clip_model.safetensors")
    save_file({name: value + 1e-3 for name, value in weights.items()}, other / "open_clip_model.safetensors")
    for precision in ("fp32", "bf16"):
        backbone = cdc.load_backbone(str(other), precision=precision)
        with pytest.raises(cdc.InputError, match="must have the weights the adapter was trained on"):
            cdc.load_adapter(saved, backbone=backbone)


def test_every_flipped_bit_of_an_adapter_is_noticed(saved, tiny_backbone):
    for name in ("card.json", "adapter.safetensors"):
        whole = (saved / name).read_bytes()
        for place in random.Random(0).sample(range(len(whole)), 150):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << place % 8
            (saved / name).write_bytes(flipped)
            try:
                cdc.load_adapter(saved, backbone=tiny_backbone)
            except cdc.InputError as error:
                assert "\n" not in str(error)  # noqa: PT017 - what follows a bit is one of many errors
            else:  # between two fields
                assert json.loads(whole) == json.loads(bytes(flipped))
        (saved / name).write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.pop("data"), "AdapterCard must hold .*data.*; received none of data"),
        (lambda card: card.update(extra=1), "AdapterCard must hold only .*; received extra"),
        (lambda card: card.update(class_names="dogs"), "class_names of AdapterCard must be"),
        (lambda card: card.update(class_names=["red", " "]), "1 to 25,000 class names, none of them empty"),
        (lambda card: card.update(class_names=["red"] * 100_000), "received 100,000"),
        (lambda card: card.update(template="a photo"), "template must contain '{}' exactly once"),
        (lambda card: card.update(method=None), "a card must hold the settings of a method"),
        (lambda card: card["method"].update(templates=10**9), "templates must be at most 1000"),
        (lambda card: card["method"].update(context_tokens=10**9), "must fit the 24 tokens"),
        (lambda card: card["method"].update(templates=3), "must be those of its method: contexts"),
        (lambda card: card["training"].update(losses=["low"]), "losses of TrainingRecord must be"),
        (lambda card: card["training"].update(epochs=1.5), "epochs of TrainingConfig must be int"),
        (
            lambda card: card["backbone"].update(precision="int8"),
            "precision of BackboneRecord must be .*; received 'int8'",
        ),
        (lambda card: card.update(format=3), "must have format 4; received 3"),
    ],
)
def test_a_card_that_was_made_up_is_one_clear_error(saved, change, message):
    rewrite(saved, change=change)
    with pytest.raises(cdc.InputError, match=message):
        cdc.load_adapter(saved)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda found: found | {"contexts": found["contexts"] * float("nan")}, "must be finite; received contexts"),
        (lambda found: found | {"level": found["level"] + float("inf")}, "must be finite; received level"),
        (lambda found: {"level": found["level"]}, "must be those of its method"),
        (lambda found: found | {"contexts": found["contexts"].double()}, "must be those of its method"),
    ],
)
def test_weights_that_were_made_up_are_one_clear_error(saved, tiny_backbone, weights, message):
    rewrite(saved, weights=weights)
    with pytest.raises(cdc.InputError, match=message):
        cdc.load_adapter(saved, backbone=tiny_backbone)


@pytest.mark.parametrize("text", [b"\xff{}", b"[" * 100_000, b"[]", b'{"format": NaN}', b'{"format": 1e999}'])
def test_a_card_that_is_no_json_of_a_card_is_one_clear_error(saved, text):
    (saved / "card.json").write_bytes(text)
    with pytest.raises(cdc.InputError, match=r"must be JSON; |must have format 4; received"):
        cdc.load_adapter(saved)


def test_weights_that_are_not_finite_are_not_saved(tiny_backbone, dataset, settings, tmp_path):
    adapter = cdc.fit(dataset, cdc.CoOpConfig(), tiny_backbone, settings)
    with torch.no_grad():
        adapter.method.contexts[0, 0, 0] = float("nan")
    with pytest.raises(cdc.InputError, match="must be finite; received contexts with NaN"):
        adapter.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", [cdc.ZeroShotConfig(), cdc.CDCConfig(templates=1, calibrate=False)])
def test_an_answer_that_is_nan_is_none(tiny_backbone, dataset, settings, method):
    from dataclasses import replace

    adapter = cdc.fit(dataset, method, tiny_backbone, replace(settings, training=cdc.TrainingConfig(epochs=1)))
    adapter.method.backbone = replace(tiny_backbone, logit_scale=float("nan"))
    with pytest.raises(cdc.InputError, match="must be finite; received NaN or infinity for 2 of 2 images"):
        adapter.classify([example.path for example in dataset.test[:2]], cache=None)
    with pytest.raises(cdc.InputError, match="must be finite; received NaN or infinity for 2 of 2 images"):
        adapter.predict([example.path for example in dataset.test[:2]])


def test_the_card_has_the_shots_that_were_counted(tiny_backbone, dataset, settings):
    from dataclasses import replace

    config = cdc.CoOpConfig()
    drawn = cdc.few_shot(dataset, shots=3, seed=1)
    assert (
        cdc.fit_shots(
            drawn, config, tiny_backbone, cdc.FitSettings(shots=16, training=settings.training)
        ).card.data.shots
        == 3
    )
    fewer = replace(settings, shots=100, allow_fewer=True)
    most = max(sum(e.label == label for e in dataset.train) for label in range(4))
    assert cdc.fit(dataset, config, tiny_backbone, fewer).card.data.shots == most
    assert cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone, settings).card.data.shots == 0


def test_an_interrupted_fit_continues_from_its_checkpoint(tiny_backbone, dataset, settings, tmp_path):
    method = cdc.CDCConfig(templates=2)
    whole = cdc.fit(dataset, method, tiny_backbone, settings)
    checkpoint = tmp_path / "checkpoint.safetensors"
    again = cdc.fit(dataset, method, tiny_backbone, replace(settings, checkpoint=checkpoint))
    assert torch.equal(whole.method.contexts, again.method.contexts)
    assert not checkpoint.exists()  # nothing to resume once the adapter is there


def test_too_few_images_for_the_shots(tiny_backbone, dataset, settings):
    with pytest.raises(cdc.InputError, match="every class needs at least 100 training images"):
        cdc.fit(dataset, cdc.CoOpConfig(), tiny_backbone, replace(settings, shots=100))


@pytest.mark.parametrize(
    "config", [*METHODS, cdc.CDCConfig(evidence=EvidenceFunction("relu", centre="none", temperature=2.0))]
)
def test_settings_survive_json(config):
    assert method_from_record(json.loads(json.dumps(method_record(config)))) == config


def test_unknown_settings_are_refused():
    with pytest.raises(cdc.InputError, match=f"method must be one of {', '.join(cdc.METHODS)}; received 'TaskRes'"):
        method_from_record({"name": "TaskRes"})
    with pytest.raises(cdc.InputError, match="must hold only context_tokens; received depth"):
        method_from_record({"name": "coop", "depth": 9})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cdc.CDCConfig(templates=0), "templates must be at least 1; received 0"),
        (lambda: cdc.CDCConfig(anchoring=1.5), "anchoring must be between 0 and 1; received 1.5"),
        (lambda: cdc.LossWeights(divergence=-1.0), "divergence must be at least 0; received -1.0"),
        (lambda: cdc.CDCConfig(independence=-1.0), "independence must be between 0 and 1; received -1.0"),
        (lambda: cdc.LossWeights(diversity=-0.5), "diversity must be at least 0; received -0.5"),
        (lambda: cdc.CoOpConfig(context_tokens=0), "context_tokens must be at least 1; received 0"),
        (lambda: cdc.TrainingConfig(epochs=0), "epochs must be at least 1; received 0"),
        (lambda: cdc.TrainingConfig(learning_rate=0.0), "learning_rate must be positive; received 0.0"),
        (lambda: EvidenceFunction(temperature=0.0), "temperature must be positive; received 0.0"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(cdc.InputError, match=message):
        make()
