"""The structural causal model: what interventions change, what conditioning changes, and what neither does."""

from itertools import product

import jaxtyping
import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare

import causalvlm
from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.refutation.verdict import FALSE_ALARM_RATE
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import CONFOUNDED, SOURCES, PictoWorld

REGIMES = ("pretraining", "downstream", "shifted")
STRENGTHS = (0.0, 0.3, 0.5, 0.9, 1.0)
MAMMALS = ("mammals",)


def given_level(world: PictoWorld, factor: str) -> np.ndarray:
    """P(concept | level) for every level, by Bayes and the sum over D: [level, concept]."""
    levels, concepts = world.level_probabilities(factor), world.concept_probabilities()
    joint = np.einsum("d,dl,dc->lc", world.source_probabilities, levels, concepts)
    return joint / joint.sum(1, keepdims=True)


def draw(world: PictoWorld, n: int = 20_000, **do: str):
    return world.sample(n, do=do, rng=np.random.default_rng(0))


# --- probability tables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("regime", "strength"), list(product(REGIMES, STRENGTHS)))
def test_tables_are_distributions(regime, strength):
    world = PictoWorld(regime=regime, strength=strength)
    tables = [world.concept_probabilities(), *(world.level_probabilities(factor) for factor in FACTORS)]
    for table in tables:
        assert len(table) == SOURCES
        assert (table >= 0).all()
        np.testing.assert_allclose(table.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize(("regime", "strength"), list(product(REGIMES, STRENGTHS)))
def test_marginals_are_the_same_at_every_strength(regime, strength):
    world, free = PictoWorld(regime=regime, strength=strength), PictoWorld(regime=regime, strength=0.0)
    for factor in FACTORS:
        marginal = world.source_probabilities @ world.level_probabilities(factor)
        np.testing.assert_allclose(marginal, free.level_probabilities(factor)[0], atol=1e-12)
    concepts = world.source_probabilities @ world.concept_probabilities()
    np.testing.assert_allclose(concepts, 1 / len(world.concepts), atol=1e-12)


@pytest.mark.parametrize("regime", REGIMES)
def test_marginals_differ_between_regimes_by_rounding_alone(regime):
    here, there = PictoWorld(regime=regime), PictoWorld(regime="pretraining")
    for factor in FACTORS:
        gap = here.source_probabilities @ here.level_probabilities(factor)
        gap = gap - there.source_probabilities @ there.level_probabilities(factor)
        assert np.abs(gap).max() <= 11 / len(here.concepts)  # a concept per collection


def test_no_concept_keeps_its_source_from_one_regime_to_another():
    for one, other in (("pretraining", "downstream"), ("pretraining", "shifted"), ("downstream", "shifted")):
        assert (PictoWorld(regime=one).homes != PictoWorld(regime=other).homes).all()


def test_a_concept_has_the_same_source_alone_and_among_all_collections():
    alone, among = PictoWorld(MAMMALS), PictoWorld()
    where = [among.concepts.index(name) for name in alone.concepts]
    assert (among.homes[where] == alone.homes).all()


@pytest.mark.parametrize("factor", CONFOUNDED)
def test_confounded_factors_tell_of_the_concept_unless_the_strength_is_zero(factor):
    uniform = 1 / len(PictoWorld(MAMMALS).concepts)
    gaps = [
        np.abs(given_level(PictoWorld(MAMMALS, strength=strength), factor) - uniform).sum(1).max() / 2
        for strength in STRENGTHS
    ]
    assert gaps[0] < 1e-12
    assert gaps == sorted(gaps)  # the dial turns one way
    assert gaps[-2] > 0.1


@pytest.mark.parametrize("factor", sorted(set(FACTORS) - set(CONFOUNDED)))
def test_other_factors_tell_nothing_of_the_concept(factor):
    world = PictoWorld(MAMMALS, strength=1.0)
    np.testing.assert_allclose(given_level(world, factor), 1 / len(world.concepts), atol=1e-12)


# --- samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", REGIMES)
def test_samples_follow_the_tables(regime):
    world = PictoWorld(MAMMALS, regime=regime)
    sample = draw(world, 40_000)
    tables = {factor: world.level_probabilities(factor) for factor in FACTORS}
    columns = {**sample.levels, "concept": sample.labels}
    tests = len(columns) * SOURCES
    for name, table in {**tables, "concept": world.concept_probabilities()}.items():
        for source in range(SOURCES):
            seen = np.bincount(columns[name][sample.sources == source], minlength=table.shape[1])
            possible = table[source] > 0
            assert seen[~possible].sum() == 0
            if possible.sum() > 1:
                expected = table[source][possible] * seen.sum()
                assert chisquare(seen[possible], expected).pvalue > FALSE_ALARM_RATE / tests, (name, source)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_sampled_marginals_are_those_of_a_world_without_confounding(strength):
    free = PictoWorld(MAMMALS, strength=0.0)
    sample = draw(PictoWorld(MAMMALS, strength=strength))
    for factor in FACTORS:
        expected = free.level_probabilities(factor)[0] * len(sample)
        seen = np.bincount(sample.levels[factor], minlength=len(expected))
        assert chisquare(seen, expected).pvalue > FALSE_ALARM_RATE / (len(FACTORS) * len(STRENGTHS)), factor


def test_the_same_random_source_gives_the_same_pictures():
    one, two = draw(PictoWorld(), 64), draw(PictoWorld(), 64)
    assert torch.equal(one.render(size=32), two.render(size=32))
    other = PictoWorld().sample(64, rng=np.random.default_rng(1))
    assert not torch.equal(one.render(size=32), other.render(size=32))


# --- interventions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "level"), [(factor, level) for factor in FACTORS for level in FACTORS[factor]])
def test_an_intervention_changes_its_factor_alone(factor, level):
    seen = draw(PictoWorld(MAMMALS), 500)
    changed = seen.intervene({factor: level})
    assert (changed.table()[factor] == level).all()
    assert changed.table().drop(columns=factor).equals(seen.table().drop(columns=factor))
    assert changed.noise is seen.noise
    assert torch.equal(changed.scenes.jitter, seen.scenes.jitter)
    assert (changed.sources == seen.sources).all()


@pytest.mark.parametrize("factor", FACTORS)
def test_setting_what_was_so_already_changes_no_pixel(factor):
    seen = draw(PictoWorld(MAMMALS), 80)
    level = seen.table()[factor].iloc[0]
    had = torch.tensor((seen.table()[factor] == level).tolist())
    before, after = seen.render(size=48), seen.intervene({factor: level}).render(size=48)
    assert torch.equal(before[had], after[had])
    assert had.any()
    assert had.all() or not torch.equal(before[~had], after[~had])


def test_setting_the_concept_changes_nothing_else():
    seen = draw(PictoWorld(MAMMALS), 500)
    dogs = seen.intervene({"concept": "dog"})
    assert (dogs.table()["concept"] == "dog").all()
    assert dogs.table().drop(columns="concept").equals(seen.table().drop(columns="concept"))


def test_a_later_intervention_wins_and_the_sample_it_came_from_stays():
    seen = draw(PictoWorld(MAMMALS), 10)
    striped = seen.intervene({"background": "striped"})
    both = striped.intervene({"background": "dotted", "style": "line"})
    assert set(both.table()["background"]) == {"dotted"}
    assert set(striped.table()["background"]) == {"striped"}
    assert seen.interventions == {}


@pytest.mark.parametrize("strength", [0.0, 0.9])
@pytest.mark.parametrize("factor", CONFOUNDED)
def test_setting_a_factor_leaves_the_concepts_alone_and_conditioning_does_not(strength, factor):
    """P(concept | do(level)) = P(concept); P(concept | level) differs, unless nothing confounds the two."""
    world = PictoWorld(MAMMALS, strength=strength)
    level = FACTORS[factor][2]
    expected = np.full(len(world.concepts), 20_000 / len(world.concepts))
    after = np.bincount(draw(world, **{factor: level}).labels, minlength=len(expected))
    assert chisquare(after, expected).pvalue > FALSE_ALARM_RATE
    sample = draw(world)
    picked = sample.labels[sample.table()[factor] == level]
    seen = np.bincount(picked, minlength=len(expected))
    agrees = chisquare(seen, expected / expected.sum() * len(picked)).pvalue
    assert agrees > FALSE_ALARM_RATE if strength == 0 else agrees < 1e-12


@pytest.mark.parametrize("strength", [0.0, 0.9])
def test_setting_the_concept_cuts_it_from_the_backgrounds_and_conditioning_does_not(strength):
    world = PictoWorld(MAMMALS, strength=strength)
    marginal = world.source_probabilities @ world.level_probabilities("background")
    after = np.bincount(draw(world, concept="dog").levels["background"], minlength=8)
    assert chisquare(after, marginal * after.sum()).pvalue > FALSE_ALARM_RATE
    sample = draw(world)
    seen = np.bincount(sample.levels["background"][sample.table()["concept"] == "dog"], minlength=8)
    agrees = chisquare(seen, marginal * seen.sum()).pvalue
    assert agrees > FALSE_ALARM_RATE if strength == 0 else agrees < 1e-12


# --- the graph ---------------------------------------------------------------------------------------------------


def test_the_graph_tells_what_is_associated_and_what_separates_it():
    graph = PictoWorld().graph()
    assert not graph.d_separated("background", "Y")
    assert graph.d_separated("background", "Y", given={"concept"})
    assert not graph.d_separated("background", "style")  # both have D for a cause
    assert graph.d_separated("rotation", "Y")
    assert not graph.d_separated("rotation", "Y", given={"X"})  # the picture is a collider of its causes
    assert graph.d_separated("Y", "Y_hat", given={"X", "concept"})
    free = PictoWorld(strength=0.0).graph()
    for one, other in product(FACTORS, [*FACTORS, "concept", "Y"]):
        assert one == other or free.d_separated(one, other)


def test_what_the_graph_separates_is_independent_in_samples_and_the_rest_is_not():
    world = PictoWorld(MAMMALS)
    graph, table = world.graph(), draw(world).table()
    for one, other in product(["style", "background", "tint", "rotation", "quality"], repeat=2):
        if one < other:
            counts = table.groupby([one, other]).size().unstack(fill_value=0)
            pvalue = chi2_contingency(counts).pvalue
            if graph.d_separated(one, other):
                assert pvalue > FALSE_ALARM_RATE / 10, (one, other)
            else:
                assert pvalue < 1e-12, (one, other)


def test_the_effect_of_the_background_on_a_prediction_is_identified_by_the_other_effects_of_the_source():
    graph = PictoWorld().graph()
    estimand = causalvlm.identify(graph, treatment="background", outcome="Y_hat")
    assert isinstance(estimand, causalvlm.BackDoor)
    assert estimand.adjustment == ("background_colour", "concept", "style", "tint")
    for left_out in estimand.adjustment:
        with pytest.raises(NotIdentifiedError) as caught:
            causalvlm.identify(graph.hide(left_out), treatment="background", outcome="Y_hat")
        assert f"background <- D -> {left_out} -> X" in caught.value.open_path


@pytest.mark.parametrize(("world", "treatment"), [(PictoWorld(), "rotation"), (PictoWorld(strength=0.0), "background")])
def test_without_a_common_cause_nothing_is_adjusted_for(world, treatment):
    estimand = causalvlm.identify(world.graph(), treatment=treatment, outcome="Y_hat")
    assert estimand == causalvlm.BackDoor(treatment, "Y_hat", ())


def test_the_source_is_in_no_table():
    assert "D" in PictoWorld().graph().latent
    assert not {"D", "source"} & set(draw(PictoWorld(), 5).table().columns)


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PictoWorld(("mamals",)), r"collection must be one of .*'mamals'\. Did you mean 'mammals'\?"),
        (lambda: PictoWorld(regime="shift"), r"regime must be one of .*'shift'\. Did you mean 'shifted'\?"),
        (lambda: PictoWorld(strength=1.2), r"strength must be from 0 .* to 1; received 1\.2"),
        (lambda: PictoWorld(strength=-0.1), r"received -0\.1"),
        (lambda: PictoWorld(strength=float("nan")), r"received nan"),
        (lambda: draw(PictoWorld(), -1), r"must not be negative; received -1"),
        (lambda: draw(PictoWorld(MAMMALS), 1, concept="badge"), r"one of this world's 47.*Did you mean 'badger'\?"),
        (lambda: draw(PictoWorld(MAMMALS), 1, concept="rocket"), r"received 'rocket'"),
        (lambda: draw(PictoWorld(), 1, texture="plain"), r"a Picto factor must be one of style, .*'texture'"),
        (lambda: draw(PictoWorld(), 1, background="stripes"), r"background must be one of .*Did you mean 'striped'\?"),
    ],
)
def test_mistakes_are_named(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    with pytest.raises(InputError, match=message):
        make()
