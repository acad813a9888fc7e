"""Methods trained as remedies are judged on images that they have not seen, and mend what can be learnt.

Embeddings are those of texts and noise, in the space of the bundled model; at night they lie towards the second class.
"""

from dataclasses import replace

import numpy as np
import pytest

import cdc
from causalvlm.diagnosis.columns import labelled_columns
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.ladder import StatedEffect
from causalvlm.diagnosis.trained import SHOTS, check_methods, train_remedies
from causalvlm.embeddings.model import model_from, model_of
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.intervals import Shift

NAMES = ("badger", "zebra", "hamster")
ROWS = 240
NIGHT = {"light": StatedEffect(-0.4, -0.5, -0.3, "back-door", "night", "day", True)}


@pytest.fixture(scope="module")
def model():
    backbone = cdc.load_backbone("picto")
    data = cdc.ImageDataset("pets", NAMES, (), (), ())
    return model_of(cdc.fit(data, cdc.ZeroShotConfig(), backbone))


def world(model, *, pull=0.0, seed=0):
    """`pull` is how far a night lies from its class towards zebras, and beside them in a direction of its own."""
    rng, rows = np.random.default_rng(seed), np.arange(ROWS)
    labels, night = rows % 3, rows // 3 % 2
    texts = model.backbone.encode_texts([f"a photo of a {name}." for name in NAMES]).numpy()
    aside = rng.normal(size=texts.shape[1])
    features = texts[labels] + 0.03 * rng.normal(size=(ROWS, texts.shape[1]))
    features += pull * night[:, None] * (1.5 * (texts[1] - texts.mean(0)) + 0.04 * aside)
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    levels = np.array(["day", "night"])[night]
    return EmbeddingTable(features, model.classify(features), labels, {"light": levels}, NAMES)


@pytest.fixture(scope="module")
def mended(model):
    table = world(model, pull=1.0)
    return table, train_remedies(labelled_columns(table), NIGHT, model, ("cdc", "coop"), rng=np.random.default_rng(0))


def test_what_can_be_learnt_is_mended_on_images_that_were_not_seen(mended):
    table, found = mended
    night = table.factors["light"] == "night"
    assert (table.correct[night].mean(), table.correct[~night].mean()) == (pytest.approx(1 / 3), 1.0)
    trained, rival = found
    assert (trained.method, rival.method) == ("cdc", "coop")
    assert (trained.kind, trained.tried, trained.helps, trained.widens) == ("train", True, True, False)
    assert trained.advice.startswith(f"train cdc on {3 * SHOTS} of these images, and ask of the other 192: all images")
    assert trained.at_level.low > 0.4
    assert trained.effect.low > 0.4
    assert "'night' is" in trained.advice
    assert "nearer to 'day' (" in trained.advice
    assert rival.at_level.value < trained.at_level.value
    assert "at 'night' against coop" in trained.advice
    assert "against cdc" not in rival.advice
    record = trained.to_record()
    assert (record["method"], record["widens"]) == ("cdc", False)


def test_better_answers_that_leave_the_level_farther_behind_are_told_apart(mended):
    wider = replace(mended[1][0], effect=Shift(-0.1, -0.15, -0.05, 0.001))
    assert (wider.helps, wider.widens) == (True, True)
    overall = replace(wider, at_level=Shift(0.0, -0.1, 0.1, 1.0))
    assert not overall.helps  # that training helps elsewhere mends no factor


def test_where_nothing_is_wrong_training_does_not_help(model):
    table = world(model)
    assert table.correct.all()
    (found,) = train_remedies(labelled_columns(table), NIGHT, model, ("coop",), rng=np.random.default_rng(0))
    assert (found.tried, found.helps) == (True, False)
    assert found.at_level.value <= 0


def test_images_that_are_the_same_are_not_on_both_sides(model):
    table = world(model, pull=1.0)
    double = EmbeddingTable(
        np.vstack([table.features] * 2), np.vstack([table.logits] * 2), np.tile(table.labels, 2),
        {"light": np.tile(table.factors["light"], 2)}, NAMES,
    )  # fmt: skip
    (found,) = train_remedies(labelled_columns(double), NIGHT, model, ("coop",), rng=np.random.default_rng(0))
    assert "train coop on 48 of these images, and ask of the other 384:" in found.advice


def test_a_diagnosis_trains_only_when_told_and_says_so_in_the_place_of_the_advice(model):
    table = world(model, pull=1.0)
    found = diagnose(table, model=model, pixels=False, folds=3, train=("coop",))
    assert {one.kind for one in found.remedies} == {"erase", "prompts", "collect", "train"}
    assert [one.tried for one in found.remedies] == sorted((one.tried for one in found.remedies), reverse=True)


def test_what_cannot_be_trained_is_refused_before_the_work(model):
    table = world(model)
    other = model_from(lambda pictures: np.full((len(pictures), 3), 1 / 3), NAMES)
    with pytest.raises(InputError, match="zero-shot with its backbone"):
        diagnose(table, model=other, train=("cdc",))
    with pytest.raises(InputError, match="must learn; received 'zero-shot'"):
        check_methods(("zero-shot",), model)
    with pytest.raises(InputError, match="nonesuch"):
        check_methods(("nonesuch",), model)
    assert train_remedies(labelled_columns(table), {}, model, ("cdc",), rng=np.random.default_rng(0)) == ()
    assert train_remedies(labelled_columns(table), NIGHT, model, (), rng=np.random.default_rng(0)) == ()
