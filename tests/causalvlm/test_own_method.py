"""A researcher's own method, in nobody's table: two of twenty lines each go everywhere that the built-in ones go."""

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional

import causalvlm
import cdc
from causalvlm.cli.main import run


@dataclass(frozen=True)
class ProbeConfig:
    name: ClassVar[str] = "linear-probe"
    decay: float = 0.9


class Probe(nn.Module, cdc.Trainable):
    """A linear probe that starts at the zero-shot weights; the mean of its weights over epochs is what it keeps."""

    trains_on = cdc.CachedViews(augmentation="crop-flip")

    def __init__(self, backbone, config, task):
        super().__init__()
        self.backbone, self.config, self.task = backbone, config, task
        self.weights = nn.Parameter(self.prompts(task.class_names).clone())
        self.register_buffer("mean", self.weights.detach().clone())

    def prompts(self, names):
        texts = [[template.format(name) for name in names] for template in (self.task.template, "art of a {}.")]
        return functional.normalize(sum(self.backbone.encode_texts(part) for part in texts), dim=-1)

    def classifier(self, class_names):
        rows = self.prompts(class_names).clone()
        for row, name in enumerate(class_names):
            if name in self.task.class_names:
                rows[row] = self.mean[self.task.class_names.index(name)]
        return cdc.CosineClassifier(self.backbone, tuple(class_names), rows)

    def loss(self, images, labels, *, progress):  # noqa: ARG002
        return functional.cross_entropy(self.backbone.logits(images[:, 0], self.weights), labels)

    def end_epoch(self, finished, total):  # noqa: ARG002
        self.mean.lerp_(self.weights.detach(), 1 - self.config.decay)


@dataclass(frozen=True)
class VisualConfig:
    name: ClassVar[str] = "visual-prompts"
    depth: int = 2


@dataclass(frozen=True)
class VisualClassifier:
    method: nn.Module
    class_names: tuple[str, ...]
    text: torch.Tensor
    reads: str = "pixels"

    def __call__(self, images):
        features = self.method.backbone.embed_images(images, self.method.prompts)
        return cdc.Prediction.from_logits(self.method.backbone.logits(features, self.text))


class Visual(nn.Module, cdc.Trainable):
    """Visual prompt tuning (Jia et al., ECCV 2022): learnable tokens in the image tower, so pixels, never features."""

    trains_on = cdc.Pixels()

    def __init__(self, backbone, config, task):
        super().__init__()
        self.backbone, self.config, self.task = backbone, config, task
        shape = (config.depth, 2, backbone.image_prompts.width)
        self.prompts = nn.Parameter(0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(task.seed)))

    def classifier(self, class_names):
        texts = [self.task.template.format(name) for name in class_names]
        return VisualClassifier(self, tuple(class_names), self.backbone.encode_texts(texts))

    def loss(self, images, labels, *, progress):  # noqa: ARG002
        return functional.cross_entropy(self.classifier(self.task.class_names)(images).logits, labels)


OWN = {"linear-probe": (ProbeConfig, Probe), "visual-prompts": (VisualConfig, Visual)}


@pytest.fixture(autouse=True)
def registered(tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))
    before = dict(cdc.METHODS)
    for config, method in OWN.values():
        cdc.register_method(config, method, help="a method of one's own")
    yield
    cdc.METHODS.clear()
    cdc.METHODS.update(before)


@pytest.fixture
def settings() -> cdc.FitSettings:
    training = cdc.TrainingConfig(epochs=3, batch_size=8, learning_rate=0.1)
    return cdc.FitSettings(training=training, views=2, cache=None)


@pytest.mark.parametrize("name", OWN)
class TestEverywhere:
    def test_adapt_save_load_and_swap_the_classes(self, name, colour_folder, tiny_backbone, settings, tmp_path):
        adapter = causalvlm.adapt(colour_folder, name, tiny_backbone, shots=4, settings=settings)
        assert len(adapter.card.training.losses) == 3
        assert adapter.card.training.losses[-1] < adapter.card.training.losses[0]
        adapter.save(tmp_path / "own")
        loaded = cdc.load_adapter(tmp_path / "own")
        files = [example.path for example in causalvlm.load_dataset(colour_folder).test]
        assert torch.equal(adapter.predict(files).belief, loaded.predict(files).belief)
        assert adapter.predict(files, ["pink", "red", "sky"]).probabilities.shape == (len(files), 3)
        assert json.loads((tmp_path / "own" / "card.json").read_text())["method"]["name"] == name

    def test_evaluate_agrees_with_predict_and_names_what_it_left_out(
        self, name, colour_folder, tiny_backbone, settings, tmp_path
    ):
        adapter = causalvlm.adapt(colour_folder, name, tiny_backbone, shots=4, settings=settings)
        data = causalvlm.load_dataset(colour_folder)
        scores, prediction = cdc.evaluate(adapter, data.test, data.class_names, cache=None)
        by_hand = adapter.predict([example.path for example in data.test])
        torch.testing.assert_close(prediction.probabilities, by_hand.probabilities, atol=1e-5, rtol=1e-4)
        assert scores.n == len(data.test)
        (tmp_path / "broken.png").write_bytes(b"no image")
        found = adapter.classify([data.test[0].path, tmp_path / "broken.png"], cache=None)
        assert found.kept == (0,)
        assert found.unreadable[0][0] == tmp_path / "broken.png"
        with pytest.raises(cdc.InputError, match="at least one image must be readable; received 1 files"):
            adapter.classify([tmp_path / "broken.png"], cache=None)

    def test_base_to_new(self, name, colour_folder, tiny_backbone, settings, tmp_path):
        data, config = causalvlm.load_dataset(colour_folder), OWN[name][0]()
        ways = {"seeds": (1,), "shots": 4, "training": settings.training, "settings": settings}
        result = cdc.run_protocol("base-to-new", [data], {"mine": config}, tiny_backbone, **ways, out=tmp_path)
        (run,) = result.runs
        assert run["base"]["n"] + run["new"]["n"] == len(data.test)
        assert (run["method"], run["settings"]["method"]["name"]) == ("mine", name)

    def test_diagnose(self, name, colour_folder, tiny_backbone, settings):
        data = causalvlm.load_dataset(colour_folder)
        marked = [
            cdc.Example(example.path, example.label, {"half": "even" if row % 2 else "odd"})
            for row, example in enumerate(data.test * 4)
        ]
        adapter = causalvlm.adapt(colour_folder, name, tiny_backbone, shots=4, settings=settings)
        marked = cdc.ImageDataset(data.name, data.class_names, (), (), tuple(marked), template=data.template)
        diagnosis = causalvlm.diagnose(marked, adapter=adapter, folds=3)
        assert diagnosis.n == len(marked.test)
        table = causalvlm.embed(marked, adapter=adapter, cache=None)
        assert table.source.method == name
        assert diagnosis.accuracy.value == pytest.approx(float(table.correct.mean()))

    def test_the_command_line(self, name, colour_folder, tiny_clip_folder, tmp_path, capsys):
        out, json_file = tmp_path / "own", tmp_path / "own.json"
        words = ["adapt", str(colour_folder), "--method", name, "--backbone", str(tiny_clip_folder), "--shots", "2"]
        assert run([*words, "--epochs", "1", "--out", str(out), "--json", str(json_file)]) == 0
        assert json.loads(json_file.read_text())["method"] == name
        assert run(["methods"]) == 0
        assert "a method of one's own" in capsys.readouterr().out

    def test_killed_and_resumed_to_the_bit(self, name, colour_folder, tiny_backbone, settings, tmp_path):
        """What `end_epoch` keeps in a buffer survives, and pixels are augmented as if nothing had been."""
        config, method_class = OWN[name]
        data = cdc.few_shot(causalvlm.load_dataset(colour_folder), shots=4, seed=1)
        whole = cdc.fit_shots(data, config(), tiny_backbone, settings).method

        class StopError(Exception):
            pass

        class Stopping(method_class):
            def end_epoch(self, finished, total):
                super().end_epoch(finished, total)
                if finished == 3:
                    raise StopError

        resumable = cdc.FitSettings(training=settings.training, views=2, cache=None, checkpoint=tmp_path / "c")
        cdc.METHODS[name] = type(cdc.METHODS[name])(config, Stopping, "stops")
        with pytest.raises(StopError):
            cdc.fit_shots(data, config(), tiny_backbone, resumable)
        assert (tmp_path / "c").exists()
        cdc.METHODS[name] = type(cdc.METHODS[name])(config, method_class, "goes on")
        resumed = cdc.fit_shots(data, config(), tiny_backbone, resumable).method
        for key, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[key]), key


def test_pixels_are_drawn_anew_every_epoch_and_for_every_seed(colour_folder, tiny_backbone):
    from cdc.images.views import ViewPlan
    from cdc.training.shots import gather_shots

    method = Visual(tiny_backbone, VisualConfig(), cdc.Task(("red", "blue"), "a {}.", seed=1))
    data = causalvlm.load_dataset(colour_folder)

    def first(seed: int, epoch: int) -> torch.Tensor:
        shots, _ = gather_shots(data, method, ViewPlan(), seed=seed, cache=None)
        generator = torch.Generator().manual_seed(0)
        return next(shots.batches(4, epoch=epoch, generator=generator))[0]

    assert torch.equal(first(1, 0), first(1, 0))
    assert not torch.equal(first(1, 0), first(1, 1))
    assert not torch.equal(first(1, 0), first(2, 0))


def test_a_name_is_taken_once():
    @dataclass(frozen=True)
    class Other:
        name: ClassVar[str] = "cdc"

    with pytest.raises(cdc.InputError, match="must be its own; received 'cdc', which CDCConfig has"):
        cdc.register_method(Other, Probe, help="no")


def test_settings_must_be_frozen_and_named():
    @dataclass
    class Loose:
        name: ClassVar[str] = "loose"

    @dataclass(frozen=True)
    class Nameless:
        depth: int = 1

    for config in (Loose, Nameless):
        with pytest.raises(cdc.InputError, match="must be a frozen dataclass with a class variable 'name'"):
            cdc.register_method(config, Probe, help="no")


def test_an_adapter_of_an_unregistered_method_says_so(colour_folder, tiny_backbone, settings, tmp_path):
    causalvlm.adapt(colour_folder, "linear-probe", tiny_backbone, shots=2, settings=settings).save(tmp_path / "own")
    del cdc.METHODS["linear-probe"]
    with pytest.raises(cdc.InputError, match=r"received 'linear-probe'\. Register one of your own"):
        cdc.load_adapter(tmp_path / "own")


def test_a_method_without_its_parts_cannot_be_made():
    class Half(nn.Module, cdc.Trainable):
        def classifier(self, class_names): ...

    with pytest.raises(TypeError, match="abstract method"):
        Half()


def test_settings_from_the_command_line():
    from causalvlm.cli.methods import configure_fit

    pairs = ["templates=8", "evidence.kind=relu", "evidence.centre=none"]
    assert configure_fit("cdc", pairs, "picto")[0] == cdc.CDCConfig(
        templates=8, evidence=cdc.EvidenceFunction("relu", centre="none")
    )
    for wrong, message in {
        "depth=9": "with a setting of 'coop' \\(context_tokens, training.epochs, .*\\); received 'depth=9'",
        "context_tokens": "must be NAME=VALUE",
        "context_tokens=four": "must be a int, as its default 4 is; received 'context_tokens=four'",
        "context_tokens=0": "context_tokens must be at least 1; received 0",
    }.items():
        with pytest.raises(cdc.InputError, match=message):
            configure_fit("coop", [wrong], "picto")
