"""Is S a valid mediator for the front door? The questions that arrays can answer, each with a number and a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import softmax

from causalvlm.diagnosis.overlap import measure_overlap
from causalvlm.diagnosis.verdicts import NEGLIGIBLE_BITS, Finding, Key, Measured, settle, weakest
from causalvlm.errors import InputError
from causalvlm.intervals import Shift
from causalvlm.probes.beyond import Base, gain, left_over, planted_bits, read_base
from causalvlm.probes.linear import assign_folds
from causalvlm.probes.ridge import cross_fit
from causalvlm.randomness import Rng, generator

MOST_COMPONENTS = 64
"""Principal components of S that a reader is given; further ones are left out of it, and of what X says beyond S."""

MOST_PROBABILITIES, MULTIPLIED = 32, 6
"""Components of the templates' probabilities beside those, and how many of the first are squared and multiplied."""

MOST_EMBEDDED = 256
"""Principal components of the embedding, after what S says of it is taken out."""

ROWS_TAKEN_OUT = 3
"""Rows for every component that is taken out of other columns before they are read; labels play no part in that."""

FEWEST_IMAGES = 30
"""Below this nothing is asked."""

FEWEST_AT_LEVEL = 10
"""Images without which a level is merged with others: two in each of five folds."""

MORE = "More images would tell."

Opinions = Float[np.ndarray, "templates rows classes"]
Matrix = Float[np.ndarray, "rows _"]
Codes = Int[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class Mediator:
    """S, X, the true labels, and the folds that every reader of them shares.

    Attributes:
        opinions: of every template on every image, log-probabilities up to a constant per row.
        features: X, the embeddings.
        labels: Y, the true class of each image, as an index.
        assigned: fold of each image.
        rng: for what is planted.
    """

    opinions: Opinions
    features: Matrix
    labels: Codes
    assigned: Codes
    rng: np.random.Generator


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


def prepare(opinions: Opinions, features: Matrix, labels: Codes, *, folds: int, rng: np.random.Generator) -> Mediator:
    """Check the arrays and deal the images into folds.

    Raises:
        InputError: as `audit_mediator`.
    """
    counts = {"opinions": opinions.shape[1], "features": len(features), "labels": len(labels)}
    if len(set(counts.values())) > 1 or len(labels) < FEWEST_IMAGES or len(np.unique(labels)) < 2:
        raise InputError(
            f"an audit needs one row per image everywhere, at least {FEWEST_IMAGES} images and two classes among them; "
            f"received {', '.join(f'{count} rows of {name}' for name, count in counts.items())} and "
            f"{len(np.unique(labels))} classes. Add images, or take all arrays from the same ones."
        )
    if folds < 3:
        raise InputError(f"an audit needs at least 3 folds; received {folds}. Pass folds=5, the usual number.")
    for name, values in (("opinions", opinions), ("features", features)):
        if not np.isfinite(values).all():
            raise InputError(f"{name} must be finite; received NaN or infinity. Drop those rows, or encode in fp32.")
    if labels.min() < 0 or labels.max() >= opinions.shape[2]:
        raise InputError(
            f"every label must index one of the {opinions.shape[2]} classes that S speaks of; received "
            f"{labels.min()} to {labels.max()}. Pass the opinions on all classes of the labels."
        )
    features = features.astype(np.float64)
    assigned = assign_folds(features, np.zeros_like(labels), labels, folds=folds, rng=rng)
    return Mediator(centred(opinions), features, labels, assigned, rng)


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
    found: dict[Key, Measured] = {("mediation",): _mediation(given, known)}
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


def level_codes(levels: Shaped[np.ndarray, " rows"]) -> Codes:
    """Levels as indices; those with fewer than `FEWEST_AT_LEVEL` images become one, with the smallest other if need be.

    Example:
        >>> level_codes(np.repeat(["day", "dusk", "night"], [30, 2, 20])).tolist() == [0] * 30 + [1] * 22
        True
    """
    names, codes, counts = np.unique(levels, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    merged = np.empty(len(names), dtype=np.int64)
    merged[order] = np.arange(len(names))
    rare = counts < FEWEST_AT_LEVEL
    if rare.any():
        common = int((~rare).sum())
        enough = counts[rare].sum() >= FEWEST_AT_LEVEL or common == 0
        merged[rare] = common if enough else common - 1
    return merged[codes.reshape(-1)]


def centred(opinions: Opinions) -> Opinions:
    """Opinions without their constants per row: the classes of every template and image have mean zero.

    Example:
        >>> centred(np.array([[[1.0, 3.0]]]))
        array([[[-1.,  1.]]])
    """
    return opinions.astype(np.float64) - opinions.astype(np.float64).mean(-1, keepdims=True)


def flat(opinions: Opinions) -> Matrix:
    """The opinions of all templates side by side, a row per image."""
    return opinions.transpose(1, 0, 2).reshape(opinions.shape[1], -1)


def whole(given: Mediator) -> Matrix:
    """S as a reader is given it: at most `MOST_COMPONENTS` principal components."""
    return components(flat(given.opinions), MOST_COMPONENTS)


def components(columns: Matrix, most: int, *, rows_each: int = 10) -> Matrix:
    """Principal components, those that vary most first; at most `most`, and one for every `rows_each` rows.

    Example:
        >>> components(np.random.default_rng(0).normal(size=(50, 9)), 64).shape
        (50, 5)
    """
    return left_over(columns, np.zeros((len(columns), 0)), most=max(1, min(most, len(columns) // rows_each)))


def _mediation(given: Mediator, known: Mapping[str, Codes]) -> Measured:
    """What X says of Y beyond S and the labelled factors."""
    base = np.hstack([_read_from(given.opinions), *(_indicators(codes) for codes in known.values())])
    every = components(flat(given.opinions), len(given.labels), rows_each=ROWS_TAKEN_OUT)
    added = left_over(given.features, np.hstack([base, every]), most=MOST_EMBEDDED)
    read = _read_labels(given, base).beyond(added)
    shift = read.bits(given.labels)
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
        sensitive=_sensitive(shift, read.base, added, given.assigned, rng=given.rng),
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
    rows = _mixed(codes, groups)
    if not _readable(codes[rows], given.assigned[rows]):
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
    both = np.hstack([_read_from(given.opinions), features])
    return _Seen(features, blocked, both, _read_labels(given, both))


def _read_labels(given: Mediator, columns: Matrix) -> Base:
    """Y read from columns, starting from what the templates say on average."""
    start, classes = given.opinions.mean(0), given.opinions.shape[2]
    return read_base(columns, given.labels, given.assigned, start=start, levels=classes)


def _second_stage(given: Mediator, seen: _Seen, name: str, codes: Codes) -> Measured:
    """Is S <- G -> Y open past X? Only if S tells G beyond X, and G tells Y beyond S and X."""
    if not _readable(codes, given.assigned):
        return _unread(
            f"whether {name!r} opens a back door between S and Y past X",
            f"A level of {name!r} has too few images to be read.",
        )
    indicators, blocked = _indicators(codes), seen.blocked
    first = read_base(seen.features, codes, given.assigned).beyond(blocked)
    added = left_over(indicators, seen.both, most=indicators.shape[1])
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


def _read_from(opinions: Opinions) -> Matrix:
    """What a reader of Y sees of S: log-probabilities, probabilities, and products of the first components."""
    logs = components(flat(opinions), MOST_COMPONENTS)
    shares = components(flat(softmax(opinions, axis=-1)), MOST_PROBABILITIES)
    first = logs[:, :MULTIPLIED]
    places = np.triu_indices(first.shape[1])
    return np.hstack([logs, shares, first[:, places[0]] * first[:, places[1]]])


def _sensitive(shift: Shift, base: Matrix, added: Matrix, assigned: Codes, *, rng: np.random.Generator) -> bool:
    """Whether twice the negligible bits, planted in the added columns, are found at half their size or more."""
    if shift.high >= NEGLIGIBLE_BITS or not added.shape[1]:
        return True  # the verdict does not hang on it
    return planted_bits(base, added, assigned, bits=2 * NEGLIGIBLE_BITS, rng=rng).value >= NEGLIGIBLE_BITS


def _readable(codes: Codes, assigned: Codes) -> bool:
    """Whether every level occurs outside of every two folds, which is what a reader is fitted on."""
    folds = np.unique(assigned)
    return (
        len(folds) >= 3
        and len(np.unique(codes)) > 1
        and bool((np.bincount(codes)[np.unique(codes)] >= FEWEST_AT_LEVEL).all())
    )


def _mixed(codes: Codes, labels: Codes) -> Shaped[np.ndarray, " rows"]:
    """The images of classes that occur at several levels."""
    counts = np.zeros((int(labels.max()) + 1, int(codes.max()) + 1), dtype=np.int64)
    np.add.at(counts, (labels, codes), 1)
    return ((counts > 0).sum(axis=1) > 1)[labels]


def _indicators(codes: Codes) -> Matrix:
    return np.eye(int(codes.max()) + 1)[codes]


def _unread(measured: str, why: str) -> Measured:
    return Measured(None, NEGLIGIBLE_BITS, "bits", measured, "", "", why)


def _names(known: Mapping[str, Codes]) -> str:
    return "the labelled factors (" + ", ".join(known) + ")"
