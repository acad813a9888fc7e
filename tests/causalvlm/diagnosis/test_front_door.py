"""The front door of an image: the effect that was planted is found, and what breaks it is refused or refuted.

The image is of one group or another; S is noisy; a hidden cause moves group and label. S may also be certain, may read
the cause, or may leave something out.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from causalvlm.diagnosis.columns import labelled_columns
from causalvlm.diagnosis.front_door import CANNOT_KNOW, MOST_IMAGES, ask_front_door
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import EmbeddingTable

ROWS, HIDDEN = 1400, 2.0


def world(seed=0, *, noise=1.0, leak=0.0, past=0.0, labelled=True, rows=ROWS):
    """Embeddings, logits, labels and the cause of a table; S of class 1 is the group and noise."""
    rng = np.random.default_rng(seed)
    cause = rng.integers(2, size=rows)
    group = (rng.random(rows) < 0.3 + 0.3 * cause).astype(int)
    features = rng.normal(size=(rows, 6))
    features[:, 0] += 8 * group
    s = group + noise * rng.normal(size=rows) + leak * cause
    chance = expit(s - 0.5 + HIDDEN * (cause - 0.5) + past * features[:, 1])
    labels = (rng.random(rows) < chance).astype(int)
    factors = {"cause": np.where(cause == 1, "on", "off")} if labelled else {}
    return EmbeddingTable(features, np.column_stack([-s, s]) / 2, labels, factors, ("cat", "dog"))


def truth():
    """P(dog | do(group 1)) - P(dog | do(group 0)), by drawing S and the cause afresh."""
    rng = np.random.default_rng(1)
    noise, cause = rng.normal(size=400_000), rng.integers(2, size=400_000)
    means = [expit(group + noise - 0.5 + HIDDEN * (cause - 0.5)).mean() for group in (1, 0)]
    return means[0] - means[1]


def ask(table, model=None):
    return ask_front_door(labelled_columns(table), model, rng=np.random.default_rng(0))


def of_dog(found, shift):
    """The effect of the second group against the first on dogs, whichever was asked."""
    treated = found.groups[0]
    of_cats = found.outcome == "cat"
    mostly_dogs = dict(treated.classes)["dog"] > 0.5
    return shift.value * (-1 if of_cats else 1) * (1 if mostly_dogs else -1)


def test_the_planted_effect_is_found_where_comparing_images_is_wrong():
    found = ask(world())
    assert found.status == "estimated"
    assert found.checks["mediation"].verdict != "violated"
    assert sum(group.n for group in found.groups) == ROWS
    assert set(found.groups[0].classes[0]) & {"cat", "dog"}
    size = truth()
    assert abs(found.front_door.value) == pytest.approx(size, abs=0.06)
    assert found.front_door.low < np.sign(found.front_door.value) * size < found.front_door.high
    assert found.back_door.low < np.sign(found.front_door.value) * size < found.back_door.high
    assert abs(found.association.value) > size + 0.08  # the hidden cause makes it look larger
    assert not found.failed
    names = [one.name for one in found.verdicts]
    assert "over-identification" in names
    assert any(name.startswith("leak from") for name in names)


def test_without_a_label_there_is_no_back_door_and_full_mediation_is_never_called_shown():
    found = ask(world(labelled=False))
    assert found.back_door is None
    assert (found.adjusted_for, found.back_door_refusal) == ((), "")
    assert found.checks["mediation"].verdict != "violated"
    assert found.status == "estimated"


def test_s_that_a_group_determines_is_refused_with_what_would_mend_it():
    found = ask(world(noise=0.02))
    assert (found.status, found.front_door, found.verdicts) == ("refused", None, None)
    assert found.checks["overlap"].verdict == "violated"
    assert "all but determines" in found.refusal
    assert "a factor that can be set" in found.remedy
    assert found.back_door is not None  # the other door stands beside


def test_a_path_past_s_is_refused():
    found = ask(world(past=2.0))
    assert (found.status, found.front_door) == ("refused", None)
    assert "path from X to Y past S" in found.refusal
    assert "Give S more to say" in found.remedy


def test_a_labelled_cause_that_s_reads_refutes_the_estimate():
    found = ask(world(leak=1.5))
    assert found.status == "refuted"
    assert any("leak" in name for name in found.failed)
    assert "trust the back door" in found.remedy


def test_few_images_or_one_class_are_refused():
    assert "at least 300" in ask(world(rows=150)).refusal
    table = world()
    alone = EmbeddingTable(table.features, table.logits, np.zeros(ROWS, int), {}, table.class_names)
    assert "of 1 classes" in ask(alone).refusal


def test_templates_are_the_mediator_where_the_model_has_them_and_large_tables_are_drawn_from():
    table, asked = world(rows=MOST_IMAGES + 50, noise=0.02), []

    def opinions(features):
        asked.append(len(features))
        return np.stack([table.logits, table.logits])

    found = ask(table, Model(("cat", "dog"), lambda pictures: np.zeros((len(pictures), 2)), opinions=opinions))
    assert found.mediator == "log-probabilities of 2 classes by each of 2 templates"
    assert (asked, found.n) == ([MOST_IMAGES + 50], MOST_IMAGES)


def test_the_record_says_what_cannot_be_known():
    record = ask(world(noise=0.02)).to_record()
    assert record["cannot_know"] == list(CANNOT_KNOW)
    assert (record["status"], record["front_door"]) == ("refused", None)


def test_many_factors_are_adjusted_for_one_by_one_for_their_combinations_hardly_recur():
    table, rng = world(rows=400), np.random.default_rng(2)
    others = {f"factor {place}": rng.choice(list("abcde"), size=400) for place in range(5)}
    found = ask(replace(table, factors={**table.factors, **others}))
    assert found.front_door is not None
    assert found.back_door is not None
    assert "over-identification" in {one.name for one in found.verdicts}
