"""From associations to causes: factors are set where they can be, or erased; effects are estimated and refuted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest

from causalvlm.diagnosis.columns import Columns
from causalvlm.diagnosis.effects import FactorEffect, estimate_effects
from causalvlm.diagnosis.evidence import Evidence
from causalvlm.diagnosis.interventions import Intervention, intervene
from causalvlm.diagnosis.ladder import NEGLIGIBLE_SHARE
from causalvlm.diagnosis.pairs import Pair, find_pairs
from causalvlm.diagnosis.scm import Independence, check_independencies, data_graph, require_graph, study_table
from causalvlm.diagnosis.settings import Setting, picto_settings, pixel_settings
from causalvlm.embeddings.model import Classify, Model
from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.multiplicity import holm
from causalvlm.probes.erasure import Erasure, erase_and_ask
from cdc.progress import image_bar

FEWEST_PAIRS = 20
"""Pictures that a factor must be set in, for what they say to count."""


@dataclass(frozen=True, eq=False)
class Causes:
    """What is known of the causes behind a table, by factor.

    Attributes:
        graph: the one that effects were identified in.
        independencies: what it implies, tested.
        effects: from images as they are.
        interventions: of the factors that could be set.
        erasures: of the others, where the model reads embeddings.
        pairs: images whose answer changes when a factor is set.
    """

    graph: CausalGraph
    independencies: tuple[Independence, ...]
    effects: Mapping[str, FactorEffect]
    interventions: Mapping[str, tuple[Intervention, ...]]
    erasures: Mapping[str, Erasure]
    pairs: Mapping[str, tuple[Pair, ...]]


def find_causes(
    columns: Columns,
    references: Mapping[str, str],
    *,
    model: Model | None,
    graph: CausalGraph | None,
    settings: Mapping[str, Setting],
    most: int,
    rng: np.random.Generator,
    progress: bool,
) -> Causes:
    """Ask of every factor what can be asked of it.

    Args:
        columns: the factors of a table.
        references: the level of each that the others are compared with.
        model: what gave the answers of the table; without it nothing can be set or erased.
        graph: of the data; None for the paper's.
        settings: how factors are set, beside those that are known: by editing what was measured from pixels, and by
            drawing pictures of Picto again.
        most: images that each is set in.
        rng: source of randomness.
        progress: show bars.

    Raises:
        InputError: if the graph lacks a factor, or a setting is of none.
    """
    graph = data_graph(columns) if graph is None else require_graph(graph, columns)
    independencies = check_independencies(graph, study_table(columns))
    interventions: dict[str, tuple[Intervention, ...]] = {}
    erasures: dict[str, Erasure] = {}
    pairs: dict[str, tuple[Pair, ...]] = {}
    if model is not None:
        known = _settings(columns, settings)
        interventions = _set(columns, references, model, known, rng, most=most, progress=progress)
        labels = columns.table.labels
        pairs = {name: find_pairs(model, labels, known[name], made, rng=rng) for name, made in interventions.items()}
        erasures = _erase(columns, model, [name for name in references if name not in interventions], rng)
    with image_bar("estimating effects" if progress else None, total=len(references), unit="factors") as advance:
        effects = estimate_effects(columns, graph, references, known=interventions, rng=rng, advance=advance)
    return Causes(graph, independencies, effects, interventions, erasures, pairs)


def correct_causes(evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """The evidence on every factor with the p-values of its causes corrected for each other, question by question."""
    associated = holm({name: one.association.p_value for name, one in evidence.items()})
    erased = holm({name: one.erasure.p_value for name, one in evidence.items() if one.erasure})
    made = [(name, each) for name, one in evidence.items() for each in one.interventions]
    changed = holm({(name, each.level): _changes_nothing(each) for name, each in made})
    moved = holm({(name, each.level): each.accuracy.p_value for name, each in made})
    return {
        name: replace(
            one,
            adjusted=replace(
                one.adjusted,
                association=associated[name],
                erasure=erased.get(name),
                changes={each.level: changed[name, each.level] for each in one.interventions},
                accuracy={each.level: moved[name, each.level] for each in one.interventions},
            ),
        )
        for name, one in evidence.items()
    }


def _changes_nothing(one: Intervention) -> float:
    """P-value of "setting the factor changes no more answers than is negligible"."""
    changed = round(one.flips.value * one.n)
    return float(binomtest(changed, one.n, NEGLIGIBLE_SHARE, alternative="greater").pvalue)


def _settings(columns: Columns, own: Mapping[str, Setting]) -> dict[str, Setting]:
    unknown = [name for name in own if name not in columns.factors]
    if unknown:
        raise InputError(
            f"a setting must be of a factor of the data ({', '.join(columns.factors)}); received {unknown[0]!r}. "
            "Correct the name, or give the images that factor."
        )
    source = columns.table.source
    drawn = picto_settings(source.data, columns.table.files) if source and columns.table.files else {}
    return {name: one for name, one in {**pixel_settings(columns), **drawn, **own}.items() if name in columns.factors}


def _set(
    columns: Columns,
    references: Mapping[str, str],
    model: Model,
    settings: Mapping[str, Setting],
    rng: np.random.Generator,
    *,
    most: int,
    progress: bool,
) -> dict[str, tuple[Intervention, ...]]:
    """What setting does, of the factors that enough pictures could be set in."""
    found: dict[str, tuple[Intervention, ...]] = {}
    for name, reference in references.items():
        setting = settings.get(name)
        if setting is None or reference not in setting.levels:
            continue
        present = _present(columns, name)
        made = intervene(
            model,
            columns.table.labels,
            setting,
            factor=name,
            reference=reference,
            levels=[level for level in setting.levels if level in present],
            most=most,
            rng=rng,
            progress=f"setting {name}" if progress else None,
        )
        counted = tuple(one for one in made if one.n >= FEWEST_PAIRS)
        if counted:
            found[name] = counted
    return found


def _present(columns: Columns, name: str) -> set[str]:
    return {str(level) for level in np.unique(columns.factors[name].levels)}


def _erase(columns: Columns, model: Model, names: Sequence[str], rng: np.random.Generator) -> dict[str, Erasure]:
    if model.classify is None:
        return {}
    return {name: erased for name in names if (erased := _erase_one(columns, model.classify, name, rng)) is not None}


def _erase_one(columns: Columns, classify: Classify, name: str, rng: np.random.Generator) -> Erasure | None:
    table, levels = columns.table, columns.factors[name].levels
    return erase_and_ask(classify, table.features, table.labels, levels, factor=name, rng=rng)
