"""Is S a valid mediator for the front door? The questions that arrays can answer, each with a number and a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from scipy.special import logsumexp

from causalvlm.diagnosis.audit.arrays import (
    MOST_COMPONENTS,
    MOST_EMBEDDED,
    ROWS_TAKEN_OUT,
    Codes,
    Matrix,
    Mediator,
    Opinions,
    components,
    flat,
    indicators,
    level_codes,
    mixed,
    prepare,
    read_from,
    readable,
    whole,
)
from causalvlm.diagnosis.audit.overlap import measure_overlap
from causalvlm.diagnosis.audit.verdicts import NEGLIGIBLE_BITS, Finding, Key, Measured, settle, weakest
from causalvlm.intervals import Shift
from causalvlm.probes.beyond import Base, gain, left_over, planted_bits, read_base
from causalvlm.probes.ridge import cross_fit
from causalvlm.randomness import Rng, generator

MORE = "More images would tell."


@dataclass(frozen=True)
class MediatorFindings:
    """What `audit_mediator` found.

    Attributes:
        mediation: does X say more of Y than S, and the labelled factors, do?
        leaks: for each factor, does S tell it beyond the class?
        templates: for each factor, the same of every template alone.
        second_stage: for each factor, is a back door S <- G -> Y open past X?
        overlap: do coarse values of X share values of S?
        factor_overlap: the same for the levels of each factor.
    """

    mediation: Finding
    leaks: Mapping[str, Finding]
    templates: Mapping[str, tuple[Finding, ...]]
    second_stage: Mapping[str, Finding]
    overlap: Finding
    factor_overlap: Mapping[str, Finding]


def audit_mediator(
    opinions: Opinions,
    features: Matrix,
    labels: Codes,
    factors: Mapping[str, Shaped[np.ndarray, " rows"]],
    *,
    folds: int = 5,
    clusters: int = 4,
    rng: Rng = 0,
) -> MediatorFindings:
    """Ask of arrays whether S is a valid mediator; `causalvlm.audit` asks the same of an adapter.

    Args:
        opinions: S, of every template on every image and class: log-probabilities up to a constant per row.
        features: X, the embeddings.
        labels: Y, the true class of each image, as an index of the classes.
        factors: G, the level of every image by the name of the factor; these are taken as labelled.
        folds: of the readers, at least 3.
        clusters: coarse values of X that must overlap in S.
        rng: deals images into folds and plants what must be found; or a seed.

    Raises:
        InputError: if the arrays do not match, are not finite, or hold fewer than 30 images or one class only.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> features = rng.normal(size=(400, 4))
        >>> opinions = 2 * features[None, :, :2] + rng.normal(size=(1, 400, 2))
        >>> labels = (opinions[0] + rng.gumbel(size=(400, 2))).argmax(1)
        >>> background = np.where(features[:, 3] > 0, "water", "land")
        >>> audit_mediator(opinions, features, labels, {"background": background}).mediation.verdict
        'valid'
    """
    given = prepare(opinions, features, labels, folds=folds, rng=generator(rng))
    found = settle(measure(given, factors, factors))
    codes = {name: level_codes(levels) for name, levels in factors.items()}
    overlap = measure_overlap(whole(given), features, codes, clusters=clusters, rng=given.rng)
    return assemble(found, overlap)


def measure(
    given: Mediator,
    factors: Mapping[str, Shaped[np.ndarray, " rows"]],
    labelled: Mapping[str, Shaped[np.ndarray, " rows"]],
    *,
    advance: Callable[[], None] = lambda: None,
) -> dict[Key, Measured]:
    """Every number that is a test, before the verdicts.

    Args:
        given: S, X and Y.
        factors: all of them.
        labelled: those that came with the images; factors measured from the picture are functions of X.
        advance: called after each factor, and once after mediation.
    """
    codes = {name: level_codes(levels) for name, levels in factors.items()}
    known = {name: codes[name] for name in labelled if codes[name].max() > 0}
    found: dict[Key, Measured] = {("mediation",): measure_mediation(given, known)}
    advance()
    seen: _Seen | None = None
    for name, levels in codes.items():
        found |= _leaks(given, name, levels)
        if name in labelled:
            seen = seen or _seen(given)
            found["second_stage", name] = _second_stage(given, seen, name, levels)
        advance()
    return found


def assemble(found: Mapping[Key, Finding], overlap: tuple[Finding, Mapping[str, Finding]]) -> MediatorFindings:
    """The findings by question."""

    def by_factor(key: str) -> dict[str, Finding]:
        return {str(one[1]): finding for one, finding in found.items() if one[0] == key and len(one) == 2}

    leaks = by_factor("leaks")
    templates = {
        name: tuple(finding for one, finding in found.items() if one[:3] == ("leaks", name, "template"))
        for name in leaks
    }
    return MediatorFindings(found["mediation",], leaks, templates, by_factor("second_stage"), *overlap)


def measure_mediation(given: Mediator, known: Mapping[str, Codes], *, one: int | None = None) -> Measured:
    """What X says of Y beyond S and the labelled factors.

    Args:
        given: S, X and Y.
        known: levels of the labelled factors, as indices.
        one: an index of a class: Y is then that class against all others, which takes less time.
    """
    labels = given.labels if one is None else (given.labels == one).astype(np.int64)
    base = np.hstack([read_from(given.opinions), *(indicators(codes) for codes in known.values())])
    every = components(flat(given.opinions), len(given.labels), rows_each=ROWS_TAKEN_OUT)
    added = left_over(given.features, np.hstack([base, every]), most=MOST_EMBEDDED)
    read = _read_labels(given, base, one=one)
    shift = read.beyond(added).bits(labels)
    beside = f" and {_names(known)}" if known else ""
    other = "another hidden cause" if known else "a hidden cause"
    return Measured(
        shift=shift,
        negligible=NEGLIGIBLE_BITS,
        unit="bits",
        measured=f"what the embedding X says of the true label Y beyond S{beside}",
        harm=(
            f"X says more of Y than S{beside}: there is a path from X to Y past S, or {other} of X and Y that no "
            "labelled factor stands for. Which of the two, no data can show."
        ),
        fine=(
            f"Beyond S{beside}, X says nothing of Y that counts."
            if added.shape[1]
            else "S is as rich as the embedding: nothing is left in X beyond it."
        ),
        unknown=MORE,
        sensitive=_sensitive(shift, read.held_out, added, given.assigned, rng=given.rng),
        provable=bool(known),  # the front door allows a hidden cause of X and Y: it may be all that X says beyond S
    )


def _leaks(given: Mediator, name: str, codes: Codes) -> dict[Key, Measured]:
    """What S tells of a factor beyond the class, together and by template. A leak tells it without the class too.

    S and a factor that share the effect Y are associated given Y though neither carries the other (Pearl's collider):
    without the class that trace is gone, as the trace of a factor that goes with the class is gone with it. [ours]
    """
    alone = _told(given, codes, whole(given), np.zeros_like(codes))
    found: dict[Key, Measured] = {("leaks", name): _leak(given, name, codes, whole(given), "S", alone)}
    if len(given.opinions) > 1:
        for place, one in enumerate(given.opinions):
            columns, who = components(one, MOST_COMPONENTS), f"template {place + 1}"
            found["leaks", name, "template", place + 1] = _leak(given, name, codes, columns, who, alone)
    return found


@dataclass(frozen=True, eq=False)
class _Told:
    """What columns tell of a factor, and what it would take to tell whether they could."""

    shift: Shift
    base: Matrix
    columns: Matrix
    assigned: Codes


def _told(given: Mediator, codes: Codes, columns: Matrix, groups: Codes) -> _Told | None:
    """Bits beyond the frequencies in each group; None where the images are too few to tell."""
    rows = mixed(codes, groups)
    if not readable(codes[rows], given.assigned[rows]):
        return None
    read = cross_fit(columns[rows], codes[rows], groups[rows], given.assigned[rows])
    bits = (read.probe - read.frequencies)[np.arange(int(rows.sum())), codes[rows]] / np.log(2)
    return _Told(gain(bits), read.frequencies, columns[rows], given.assigned[rows])


def _leak(given: Mediator, name: str, codes: Codes, columns: Matrix, who: str, alone: _Told | None) -> Measured:
    beyond = _told(given, codes, columns, given.labels)
    if beyond is None or alone is None:
        return _unread(
            f"what {who} tells of {name!r} beyond the class",
            f"Too few images differ in {name!r} within a class: class and factor cannot be told apart.",
        )
    links = {f"{who} beyond the class": beyond, "S without the class": alone}
    way, shift = weakest([(way, told.shift) for way, told in links.items()])
    told = links[way]
    both = ", ".join(f"{one} {found.shift.value:.3f}" for one, found in links.items())
    return Measured(
        shift=shift,
        negligible=NEGLIGIBLE_BITS,
        unit="bits",
        measured=f"what {who} tells of {name!r}, the less certain of two: {both} bits",
        harm=f"{who} carries {name!r}: it tells the levels apart among images of one class.",
        fine=f"{who} tells nothing of {name!r} that counts.",
        unknown=MORE,
        sensitive=_sensitive(shift, told.base, told.columns, told.assigned, rng=given.rng),
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What all factors of the second stage share.

    Attributes:
        features: components of X.
        blocked: what X leaves of S.
        both: columns of S and of X.
        labels: what is read of Y from them.
    """

    features: Matrix
    blocked: Matrix
    both: Matrix
    labels: Base


def _seen(given: Mediator) -> _Seen:
    features = components(given.features, MOST_EMBEDDED)
    every = components(given.features, len(given.labels), rows_each=ROWS_TAKEN_OUT)
    blocked = left_over(flat(given.opinions), every, most=MOST_COMPONENTS)
    both = np.hstack([read_from(given.opinions), features])
    return _Seen(features, blocked, both, _read_labels(given, both))


def _read_labels(given: Mediator, columns: Matrix, *, one: int | None = None) -> Base:
    """Y, or one class against all others, read from columns, starting from what the templates say on average."""
    start, labels = given.opinions.mean(0), given.labels
    if one is not None:
        own = start[:, one] - logsumexp(np.delete(start, one, axis=1), axis=1)  # log odds of the class
        start, labels = np.column_stack([-own, own]) / 2, (labels == one).astype(np.int64)
    return read_base(columns, labels, given.assigned, start=start, levels=start.shape[1])


def _second_stage(given: Mediator, seen: _Seen, name: str, codes: Codes) -> Measured:
    """Is S <- G -> Y open past X? Only if S tells G beyond X, and G tells Y beyond S and X."""
    if not readable(codes, given.assigned):
        return _unread(
            f"whether {name!r} opens a back door between S and Y past X",
            f"A level of {name!r} has too few images to be read.",
        )
    levels, blocked = indicators(codes), seen.blocked
    first = read_base(seen.features, codes, given.assigned).beyond(blocked)
    added = left_over(levels, seen.both, most=levels.shape[1])
    second = seen.labels.beyond(added)
    to_mediator, to_outcome = first.bits(codes), second.bits(given.labels)
    (way, shift) = weakest([("S tells of it beyond X", to_mediator), ("it tells of Y beyond S and X", to_outcome)])
    base, planted = (first.base, blocked) if shift is to_mediator else (second.base, added)
    both = f"S beyond X {to_mediator.value:.3f}, Y beyond S and X {to_outcome.value:.3f}"
    return Measured(
        shift=shift,
        negligible=NEGLIGIBLE_BITS,
        unit="bits",
        measured=f"the weaker link of S <- {name} -> Y past X: what {way} ({both} bits)",
        harm=f"S <- {name} -> Y is open: S tells of {name!r} what X does not, and {name!r} tells of Y beyond both.",
        fine=f"X blocks S <- {name} -> Y: {'a link is missing' if blocked.shape[1] else 'S is linear in X'}.",
        unknown=MORE,
        sensitive=_sensitive(shift, base, planted, given.assigned, rng=given.rng),
    )


def _sensitive(shift: Shift, base: Matrix, added: Matrix, assigned: Codes, *, rng: np.random.Generator) -> bool:
    """Whether twice the negligible bits, planted in the added columns, are found at half their size or more."""
    if shift.high >= NEGLIGIBLE_BITS or not added.shape[1]:
        return True  # the verdict does not hang on it
    return planted_bits(base, added, assigned, bits=2 * NEGLIGIBLE_BITS, rng=rng).value >= NEGLIGIBLE_BITS


def _unread(measured: str, why: str) -> Measured:
    return Measured(None, NEGLIGIBLE_BITS, "bits", measured, "", "", why)


def _names(known: Mapping[str, Codes]) -> str:
    return "the labelled factors (" + ", ".join(known) + ")"
