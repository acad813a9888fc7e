"""PromptSRC is its two prompted towers and four terms, restated on open_clip's own modules, averaged over epochs."""

from dataclasses import dataclass

import open_clip
import pytest
import torch
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional

import cdc
from cdc.methods import promptsrc
from cdc.training.loop import train
from tests.cdc.methods.restated import (
    BASE,
    NEW,
    TEMPLATE,
    agree,
    image_features,
    make,
    moved,
    some_pixels,
    text_features,
    words,
)


def features_by_hand(model, tokenizer, parameters, images, names):
    text = text_features(model, tokenizer, parameters["contexts"][0], names, deeper=parameters["deeper"][:, 0])
    return image_features(model.visual, images, parameters["image_prompts"]), text


def frozen_by_hand(model, tokenizer, images, names):
    prompts = {TEMPLATE, *(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)}
    rows = []
    for name in names:
        features = functional.normalize(model.encode_text(tokenizer([prompt.format(name) for prompt in prompts])))
        rows.append(functional.normalize(features.mean(0), dim=-1))
    return functional.normalize(model.encode_image(images)), torch.stack(rows)


def distance(mine, other):
    return sum((own - known).abs().sum() for own, known in zip(mine, other, strict=True)) / mine.numel()


@pytest.mark.parametrize("names", [BASE, NEW])
@pytest.mark.parametrize(("depth", "tokens", "image_tokens"), [(1, 4, 4), (2, 4, 4), (9, 4, 4), (2, 2, 3), (2, 6, 1)])
def test_logits_equal_the_restatement(names, depth, tokens, image_tokens, parts):
    backbone, model, tokenizer = parts
    config = cdc.PromptSRCConfig(context_tokens=tokens, image_tokens=image_tokens, depth=depth)
    method = moved(make(config, backbone))
    pixels, _ = some_pixels()
    images, text = features_by_hand(model, tokenizer, dict(method.named_parameters()), pixels, names)
    classifier = method.classifier(names)
    expected = model.logit_scale.exp() * images @ text.T
    torch.testing.assert_close(classifier(pixels).logits, expected, atol=1e-5, rtol=1e-5)
    assert (classifier.reads, classifier.class_names) == ("pixels", names)


@pytest.mark.parametrize("depth", [1, 9])
@pytest.mark.parametrize(
    "weights", [(25.0, 10.0, 1.0), (0.0, 0.0, 0.0), (25.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 1.0)]
)
def test_steps_equal_the_restatement(weights, depth, parts):
    backbone, model, tokenizer = parts
    pixels, labels = some_pixels()
    known_images, known_text = frozen_by_hand(model, tokenizer, pixels, BASE)
    scale = model.logit_scale.exp()
    known = (scale * known_images @ known_text.T).softmax(-1)
    for_text, for_image, for_logits = weights

    def by_hand(parameters, pixels, labels):
        images, text = features_by_hand(model, tokenizer, parameters, pixels, BASE)
        logits = scale * images @ text.T
        apart = (known * (known.log() - logits.log_softmax(-1))).sum() / logits.numel()
        fit = functional.cross_entropy(logits, labels)
        kept = for_text * distance(text, known_text) + for_image * distance(images, known_images)
        return fit + kept + for_logits * apart

    config = cdc.PromptSRCConfig(depth=depth, text_weight=for_text, image_weight=for_image, logit_weight=for_logits)
    agree(moved(make(config, backbone)), by_hand, pixels, labels)


def test_how_it_starts(parts):
    backbone, model, tokenizer = parts
    before = torch.get_rng_state()
    method = make(cdc.PromptSRCConfig(), backbone)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(method.contexts[0].detach(), words(model, tokenizer, "a photo of a", 4))
    for prompts in (method.deeper, method.image_prompts):
        assert float(prompts.detach().std()) == pytest.approx(0.02, rel=0.3)
    assert not torch.equal(method.deeper[0, 0], method.image_prompts[0])
    assert not torch.equal(method.image_prompts, make(cdc.PromptSRCConfig(), backbone, seed=2).image_prompts)
    assert method.trains_on == cdc.Pixels(augmentation="crop-flip")


def test_depth_is_cut_to_what_both_towers_have(parts):
    backbone, *_ = parts
    assert make(cdc.PromptSRCConfig(depth=9), backbone).config == cdc.PromptSRCConfig(depth=2)
    assert make(cdc.PromptSRCConfig(depth=9), cdc.load_backbone("picto")).config.depth == 3


def test_predicting_encodes_no_template(tiny_backbone, monkeypatch):
    monkeypatch.setattr(promptsrc, "encode_ensemble", None)
    images, _ = some_pixels()
    assert make(cdc.PromptSRCConfig(), tiny_backbone).classifier(NEW)(images).logits.shape == (5, 3)


@pytest.mark.parametrize(("total", "mean", "std"), [(20, 15.0, 1.0), (20, 6.0, 10.0), (5, 3.0, 1.0), (6, 15.0, 2.0)])
def test_the_trained_prompts_are_the_gaussian_average_of_the_epochs(total, mean, std, tiny_backbone):
    method = make(cdc.PromptSRCConfig(gpa_mean=mean, gpa_std=std), tiny_backbone)
    density = norm.pdf(range(1, total + 1), mean, std)
    expected = {name: torch.zeros_like(value) for name, value in method.named_parameters()}
    for epoch, share in enumerate(density / density.sum(), start=1):
        moved(method)
        now = {name: value.detach().clone() for name, value in method.named_parameters()}
        for name, value in now.items():
            expected[name] += share * value
        method.end_epoch(epoch, total)
        if epoch < total:  # training goes on from where it was
            assert all(torch.equal(value, now[name]) for name, value in method.named_parameters())
    for name, value in method.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("total", [1, 2, 14])
def test_a_run_that_ends_long_before_the_mean_keeps_its_last_epoch(total):
    weights = promptsrc.epoch_weights(total, mean=1000.0, std=1.0)
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[-1]) == pytest.approx(1)


@dataclass(frozen=True)
class FixedShots:
    """The same pictures in every epoch, shuffled."""

    pixels: Tensor
    labels: Tensor
    fingerprint: str = "fixed"

    def batches(self, batch_size, *, epoch, generator):
        del epoch
        for rows in torch.randperm(len(self.labels), generator=generator).split(batch_size):
            yield self.pixels[rows], self.labels[rows]


TRAINING = cdc.TrainingConfig(epochs=6, batch_size=2, learning_rate=0.002)


@pytest.mark.parametrize("stop_after", [1, 3, 5, 6])
def test_resumed_equals_unstopped_to_the_bit(stop_after, tiny_backbone, tmp_path):
    config, shots = cdc.PromptSRCConfig(gpa_mean=3.0, gpa_std=2.0), FixedShots(*some_pixels())
    whole = make(config, tiny_backbone)
    losses = train(whole, shots, TRAINING)

    class StopError(Exception):
        pass

    def stop(finished: int, _loss: float) -> None:
        if finished == stop_after:
            raise StopError

    with pytest.raises(StopError):
        train(make(config, tiny_backbone), shots, TRAINING, checkpoint=tmp_path / "c", progress=stop)
    resumed = make(config, tiny_backbone)
    assert train(resumed, shots, TRAINING, checkpoint=tmp_path / "c") == losses
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_weights_hold_the_features_near_the_frozen_ones(tiny_backbone):
    shots = FixedShots(*some_pixels())

    def drift(**weights: float) -> tuple[float, float]:
        method = make(cdc.PromptSRCConfig(**weights, logit_weight=0.0, gpa_mean=6.0), tiny_backbone)
        known = tiny_backbone.encode_images(shots.pixels)
        train(method, shots, TRAINING)
        seen = tiny_backbone.embed_images(shots.pixels, method.image_prompts.detach())
        return float(distance(method.classifier(BASE).text, method._known_text)), float(distance(seen, known))

    free = drift(text_weight=0.0, image_weight=0.0)
    assert drift(text_weight=25.0, image_weight=0.0)[0] < free[0]
    assert drift(text_weight=0.0, image_weight=10.0)[1] < free[1]


@pytest.mark.parametrize("setting", ["context_tokens", "image_tokens", "depth", "gpa_mean"])
def test_numbers_below_one_are_named(setting):
    with pytest.raises(cdc.InputError, match=f"{setting} must be at least 1; received 0"):
        cdc.PromptSRCConfig(**{setting: 0.0 if setting == "gpa_mean" else 0})


@pytest.mark.parametrize("setting", ["text_weight", "image_weight", "logit_weight"])
def test_negative_weights_are_named(setting):
    with pytest.raises(cdc.InputError, match=f"{setting} must be at least 0; received -1"):
        cdc.PromptSRCConfig(**{setting: -1.0})


def test_a_spread_of_nothing_is_named():
    with pytest.raises(cdc.InputError, match="gpa_std must be positive; received 0"):
        cdc.PromptSRCConfig(gpa_std=0.0)
