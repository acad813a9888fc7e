"""True effects against closed forms: outcomes that are known functions of the levels need no picture."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from causalvlm.errors import InputError
from causalvlm.worlds.picto.effects import BLOCK, true_effect
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import PictoWorld

WORLD = PictoWorld(("mammals",), strength=0.6)
STRIPED = FACTORS["background"].index("striped")
FALSE_ALARM_RATE = 1e-6


def label_where_striped(sample):
    """Twice the label on stripes, the label elsewhere: the effect of stripes is the mean label."""
    return sample.labels * (1.0 + (sample.levels["background"] == STRIPED))


def at_home(sample):
    """Whether the concept belongs to the source whose habit is stripes."""
    return (sample.world.homes[sample.labels] == STRIPED).astype(float)


def brightness(sample):
    return sample.render(size=16).float().mean((1, 2, 3)).numpy()


def mean_label(world):
    return float(world.source_probabilities @ world.concept_probabilities() @ np.arange(len(world.concepts)))


def of_stripes(outcome, *, n, seed=0, world=WORLD):
    rng = np.random.default_rng(seed)
    return true_effect(world, outcome, "background", treated="striped", control="plain", n=n, rng=rng)


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
def test_the_effect_is_the_closed_form(strength):
    world = PictoWorld(("mammals",), strength=strength)
    effect = of_stripes(label_where_striped, n=2 * BLOCK + 1, world=world)
    assert abs(effect.value - mean_label(world)) < 5 * effect.standard_error
    assert effect.standard_error < 0.3
    assert effect.do_means["striped"] - effect.do_means["plain"] == pytest.approx(effect.value)
    assert (effect.n, effect.factor, effect.treated, effect.control) == (
        2 * BLOCK + 1,
        "background",
        "striped",
        "plain",
    )


def test_the_interval_holds_the_truth_as_often_as_it_says():
    effects = [of_stripes(label_where_striped, n=100, seed=seed) for seed in range(400)]
    inside = sum(effect.low <= mean_label(WORLD) <= effect.high for effect in effects)
    low, high = binom.ppf([FALSE_ALARM_RATE, 1 - FALSE_ALARM_RATE], 400, 0.95)
    assert low <= inside <= high
    spread = np.std([effect.value for effect in effects])
    assert np.mean([effect.standard_error for effect in effects]) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_can_be_set(factor):
    control, treated = FACTORS[factor][:2]
    rng = np.random.default_rng(0)
    effect = true_effect(
        PictoWorld(), lambda sample: 3 * sample.levels[factor], factor, treated=treated, control=control, n=9, rng=rng
    )
    assert effect.do_means == {treated: 3.0, control: 0.0}
    assert (effect.value, effect.standard_error) == (3.0, 0.0)


def test_the_concept_can_be_set():
    rng = np.random.default_rng(0)
    badger, bear = WORLD.concepts[:2]
    effect = true_effect(WORLD, lambda sample: sample.labels, "concept", treated=bear, control=badger, n=9, rng=rng)
    assert effect.value == 1.0


def test_confounding_is_no_effect():
    """Who is on stripes depends on the source, but stripes do nothing to the label."""
    seen = WORLD.sample(20_000, rng=np.random.default_rng(0))
    striped = seen.levels["background"] == STRIPED
    assert at_home(seen)[striped].mean() - at_home(seen)[~striped].mean() > 0.3
    effect = of_stripes(at_home, n=500)
    assert (effect.value, effect.low, effect.high) == (0.0, 0.0, 0.0)


def test_pairs_are_more_precise_than_two_samples():
    """Brightness of a picture varies with all factors; most of that cancels within a pair."""
    n, rng = 300, np.random.default_rng(0)
    paired = true_effect(WORLD, brightness, "tint", treated="dark", control="none", n=n, rng=rng)
    alone = [brightness(WORLD.sample(n, do={"tint": tint}, rng=rng)) for tint in ("dark", "none")]
    assert paired.value < -40
    assert paired.standard_error < 0.7 * np.sqrt(sum(values.var() for values in alone) / n)


def test_the_same_state_gives_the_same_effect():
    assert of_stripes(label_where_striped, n=50) == of_stripes(label_where_striped, n=50)
    assert of_stripes(label_where_striped, n=50) != of_stripes(label_where_striped, n=50, seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": "backgroud"}, r"received 'backgroud'\. Did you mean 'background'"),
        ({"treated": "stripy"}, r"received 'stripy'\. Did you mean 'striped'"),
        ({"control": "none"}, r"background must be one of .* received 'none'"),
        ({"control": "striped"}, r"must differ; received 'striped'"),
        ({"n": 1}, r"at least 2 pairs.* received 1"),
        ({"outcome": lambda sample: np.zeros((len(sample), 2))}, r"shape \(5, 2\) for 5 pictures"),
        ({"outcome": lambda sample: np.full(len(sample), np.nan)}, r"finite; received 5 values of 5"),
    ],
)
def test_mistakes_are_named(arguments, message):
    given = {"outcome": label_where_striped, "factor": "background", "treated": "striped", "control": "plain", "n": 5}
    given |= arguments
    outcome, factor = given.pop("outcome"), given.pop("factor")
    with pytest.raises(InputError, match=message):
        true_effect(WORLD, outcome, factor, rng=np.random.default_rng(0), **given)


def test_the_code_of_the_page_runs_and_finds_the_effect():
    page = (Path(__file__).parents[4] / "docs" / "picto.md").read_text()
    names: dict[str, object] = {}
    for block in page.split("```python\n")[1:]:
        exec(block.split("```")[0], names)
    effect, estimate = names["effect"], names["estimate"]
    assert (names["same"].labels == names["seen"].labels).all()
    assert effect.high < 0
    assert abs(estimate.value - effect.value) < 5 * np.hypot(estimate.standard_error, effect.standard_error)
