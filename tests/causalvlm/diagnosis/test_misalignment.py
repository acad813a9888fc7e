"""Misalignment: descriptions that fit and answers that follow a factor are told apart from answers that do not."""

import numpy as np
import pytest
from scipy.stats import binom

import cdc
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.findings import summarize
from causalvlm.diagnosis.misalignment import ask_misalignment, follow, offer_descriptions, words_of
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError

NAMES = ("badger", "zebra", "hamster")
STYLES = ("sketch", "silhouette", "negative")
ROWS = 90


@pytest.fixture(scope="module")
def backbone():
    return cdc.load_backbone("picto")


def world(backbone, *, follows=True, noise=0.02, seed=0):
    """Embeddings that are their description and noise; answers are the class, or whatever the style says."""
    rng, rows = np.random.default_rng(seed), np.arange(ROWS)
    labels, styles = rows % 3, rows // 3 % 3
    texts = [f"a {STYLES[style]} of a {NAMES[label]}." for label, style in zip(labels, styles, strict=True)]
    features = backbone.encode_texts(texts).numpy() + noise * rng.normal(size=(ROWS, backbone.dim))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    answers = np.where(rng.random(ROWS) < 0.8, styles if follows else labels, rng.integers(3, size=ROWS))
    factors = {"style": np.array(STYLES)[styles], "take": rows.astype(str)}
    return EmbeddingTable(features.astype(np.float32), np.eye(3)[answers], labels, factors, NAMES)


def test_images_that_fit_their_description_while_answers_follow_the_style_are_misaligned(backbone):
    found = ask_misalignment(world(backbone), backbone, description="a {style} of a {class}.")
    assert found.whole.found.value > 0.9
    assert found.whole.margin.low > 0
    assert found.by_class.found.value < 0.5
    assert found.gap.low > 0.4
    assert found.gap.value == pytest.approx(found.whole.found.value - found.by_class.found.value)
    assert found.misaligned.low > 0.4
    assert (found.followed.factor, found.followed.share > 0.3) == ("style", True)
    assert (found.whole.chance, found.by_class.chance) == (1 / 3, 1 / 3)
    (style,) = found.components
    assert (style.part, style.chance) == ("style", 1 / 3)
    assert found.left_out == (("take", "it has 90 levels, as identifiers have"),)
    assert found.example.answer != found.example.class_name
    assert found.example.class_name in found.example.description
    record = found.to_record()
    assert record["follows"][0]["factor"] == "style"


def test_a_model_whose_answers_are_the_class_is_aligned(backbone):
    found = ask_misalignment(world(backbone, follows=False), backbone)
    assert found.description == "a photo of a {class}, {style}."
    assert found.followed is None
    assert found.by_class.found.value > 0.75


def test_the_share_of_images_whose_description_fits_best_against_a_slow_count():
    rng = np.random.default_rng(0)
    labels, match = rng.integers(4, size=40), rng.normal(size=(40, 40))
    own, rivals = offer_descriptions(match, labels, rng=3)
    same = np.random.default_rng(3)
    drawn = [same.choice(np.flatnonzero(labels == label), 40) for label in range(4)]
    for row in range(40):
        offered = [match[row, drawn[label][row]] for label in range(4) if label != labels[row]]
        assert (own[row], rivals[row]) == (match[row, row], max(offered))


def test_answers_that_follow_nothing_are_accused_at_most_at_the_stated_rate():
    worlds, accused = 60, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        labels = rng.integers(3, size=120)
        # goes with the class, as the answers do: within a class they have nothing in common
        confounded = np.where(rng.random(120) < 0.7, labels, rng.integers(3, size=120))
        answers = np.where(rng.random(120) < 0.6, labels, rng.integers(3, size=120))
        found = follow(answers, labels, {"mixed": confounded, "free": rng.integers(4, size=120)}, rng=rng)
        accused += any(one.certain for one in found)
        assert all(one.share < 0.2 for one in found)
    assert accused <= binom.ppf(0.999, worlds, 0.05)


def test_only_levels_that_speak_alone_are_described():
    columns = {
        "domain": ["photo", "sketch"], "number": ["10", "11"], "mark": ["yes", "no"], "one": ["same", "same"],
        "two words": ["dark", "light"],
    }  # fmt: skip
    named, left_out = words_of({name: np.array(levels) for name, levels in columns.items()})
    assert list(named) == ["domain"]
    assert dict(left_out) == {
        "number": "'10' is no word", "mark": "'no' is no word", "one": "it has one level",
        "two words": "its name cannot be a field of a description",
    }  # fmt: skip


def test_wrong_descriptions_are_refused_with_what_to_write(backbone):
    table = world(backbone)
    for form in ("a {style}.", "a {class}.", "a {colour} {class} in {style}."):
        with pytest.raises(InputError, match=r"Write for example 'a \{style\} of a \{class\}'"):
            ask_misalignment(table, backbone, description=form)
    with pytest.raises(InputError, match="levels are words"):
        ask_misalignment(table, backbone, factors={"take": table.factors["take"]})
    wide = EmbeddingTable(np.eye(ROWS, 7) + 1, table.logits, table.labels, dict(table.factors), NAMES)
    with pytest.raises(InputError, match="numbers an image"):
        ask_misalignment(wide, backbone, description="a {style} of a {class}")
    alone = EmbeddingTable(table.features, table.logits, 0 * table.labels, dict(table.factors), NAMES)
    with pytest.raises(InputError, match="two classes"):
        ask_misalignment(alone, backbone)


def test_a_diagnosis_asks_it_of_zero_shot_models_with_words_and_of_no_others(backbone):
    table = world(backbone)
    table = EmbeddingTable(table.features, table.logits, table.labels, {"style": table.factors["style"]}, NAMES)

    def classify(features):
        return np.ones((len(features), 3))

    zero_shot = Model(NAMES, lambda p: np.ones((len(p), 3)), None, classify, "a {}.", lambda _: classify, "z", backbone)
    found = diagnose(table, model=zero_shot, description="a {style} of a {class}.", pixels=False, folds=3)
    assert found.misalignment.followed.factor == "style"
    assert any("what answers follow most is style" in one for one in summarize(found))
    trained = Model(NAMES, zero_shot.answer, None, classify, "a {}.", None, "z", backbone)
    assert diagnose(table, model=trained, pixels=False, folds=3).misalignment is None
