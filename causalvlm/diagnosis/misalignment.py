"""Task misalignment (Fig. 1a of the paper): images match their whole description, but not what the task asks of it.

An image is held against its whole description, against its class as the prompts ask for it, and against the level of
every labelled factor; and it is asked which factor the answers follow instead of the class.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, Shift, mean_interval, paired_shares, wilson
from causalvlm.multiplicity import FALSE_ALARM_RATE, holm
from causalvlm.phrases import spoken
from causalvlm.randomness import Rng, generator
from cdc.backbones.backbone import Backbone
from cdc.data.dataset import DEFAULT_TEMPLATE

MOST_IMAGES = 2000
"""Images that are asked about, drawn at random from more: every one is held against every description."""

MOST_LEVELS = 40
"""Levels of a factor that can be named; more are identifiers."""

COMPONENT = "a picture, {}."
"""How a level is told alone."""

CLASS = "class"
"""The field of a description that the class name goes into."""

SILENT = frozenset({"none", "no", "yes", "true", "false", "other", "unknown", "nan", "n/a", ""})
"""Levels that say nothing without the name of their factor."""

FEWEST_SHUFFLES, SHUFFLES_EACH = 199, 40
"""Times that levels are shuffled within classes, at least and for every factor: p-values are small enough for Holm."""

Logits = Float[np.ndarray, "rows classes"]


@dataclass(frozen=True)
class Match:
    """How well images are told from others by one text each.

    Attributes:
        part: "description", "class" or the name of a factor.
        text: an example.
        found: share of images whose own text fits better than all others that were offered.
        chance: that share for a model that guesses.
        margin: by how much the own text fits better than the strongest other, in nats.
    """

    part: str
    text: str
    found: Estimate
    chance: float
    margin: Estimate


@dataclass(frozen=True)
class Followed:
    """How far answers follow a factor among images of one class.

    Attributes:
        factor: its name.
        share: of what answers vary by within classes, in bits, that the factor accounts for, beyond chance.
        p_value: that they do not follow it, corrected for all factors (Holm); by shuffling levels within classes.
    """

    factor: str
    share: float
    p_value: float

    @property
    def certain(self) -> bool:
        """Whether answers certainly follow it."""
        return self.p_value < FALSE_ALARM_RATE


@dataclass(frozen=True)
class Example:
    """An image that matches its description and not its class.

    Attributes:
        file: where it is; empty without one.
        description: the text it matches.
        class_name: its class.
        answer: the class it is given.
    """

    file: str
    description: str
    class_name: str
    answer: str


@dataclass(frozen=True, repr=False)
class Misalignment:
    """Whether a model's prompts ask for what its images are matched by.

    Attributes:
        n: images.
        description: how an image is described, with a field for every component.
        whole: the description; offered are those of one image of every class.
        by_class: the class, as the prompts ask for it.
        components: every factor alone.
        gap: share of images that match their description minus that which match their class, paired.
        misaligned: of the images that match their description, the share that does not match its class.
        follows: what answers follow, the factor first that accounts for most.
        left_out: labelled factors whose levels are no words, each with the reason.
        example: a misaligned image; None where there is none.
    """

    n: int
    description: str
    whole: Match
    by_class: Match
    components: tuple[Match, ...]
    gap: Shift
    misaligned: Estimate | None
    follows: tuple[Followed, ...]
    left_out: tuple[tuple[str, str], ...]
    example: Example | None

    def __repr__(self) -> str:
        found = f"description {self.whole.found.value:.0%}, class {self.by_class.found.value:.0%}"
        return f"<Misalignment on {self.n:,} images: {found}>"

    @property
    def followed(self) -> Followed | None:
        """The factor that answers certainly follow most; None where they certainly follow none."""
        return next((one for one in self.follows if one.certain), None)

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def ask_misalignment(
    table: EmbeddingTable,
    backbone: Backbone,
    *,
    description: str | None = None,
    factors: Mapping[str, Shaped[np.ndarray, " rows"]] | None = None,
    most: int = MOST_IMAGES,
    rng: Rng = 0,
) -> Misalignment:
    """Hold images against their whole descriptions and against each component, and see what the answers follow.

    For every image as many descriptions are offered as there are classes: its own and that of one image of every other
    class, so that description and class have the same chance level.

    Args:
        table: its logits are the answers that the prompts give.
        backbone: the towers behind it, whose text tower reads the descriptions.
        description: with the fields ``{class}`` and names of factors, such as ``"a {style} of a {class}"``; by default
            the prompt of the class, and after it the levels.
        factors: levels by name; by default the table's.
        most: images that are asked about.
        rng: draws images, and whose descriptions are offered; or a seed.

    Raises:
        InputError: if no factor's levels are words, a description names other fields or lacks the class, there
            is one class only, or the features are not the backbone's.

    Example:
        >>> import cdc
        >>> backbone, level = cdc.load_backbone("picto"), np.tile(["line", "colour"], 20)
        >>> texts = [f"a {one} picture of a {('cat', 'dog')[row // 20]}." for row, one in enumerate(level)]
        >>> features = backbone.encode_texts(texts).numpy()
        >>> table = EmbeddingTable(features, np.eye(2)[np.repeat([0, 1], 20)], np.repeat([0, 1], 20),
        ...                        {"style": level}, ("cat", "dog"))
        >>> found = ask_misalignment(table, backbone, description="a {style} picture of a {class}.")
        >>> found.whole.found.value, found.by_class.found.value, found.example
        (1.0, 1.0, None)
    """
    rng = generator(rng)
    if table.features.shape[1] != backbone.dim:
        raise InputError(
            f"features must be those of the backbone, with {backbone.dim} numbers an image; received "
            f"{table.features.shape[1]}. Pass the backbone that embedded the images."
        )
    if len(np.unique(table.labels)) < 2:
        raise InputError("images of two classes are needed, to be told apart; received those of one. Add some.")
    given = dict(table.factors if factors is None else factors)
    named, left_out = words_of(given)
    prompt = table.source.template if table.source else DEFAULT_TEMPLATE
    form = description or _default(prompt, tuple(named))
    fields = _fields(form, given if description else named)
    rows = np.sort(rng.permutation(len(table))[:most])
    labels, features = table.labels[rows], table.features[rows]
    levels = {name: np.array([spoken(str(one)) for one in given[name][rows]]) for name in fields}
    classes = [table.class_names[label] for label in labels]
    texts = [
        form.format(**{CLASS: classes[place], **{name: str(one[place]) for name, one in levels.items()}})
        for place in range(len(rows))
    ]
    own, rivals = offer_descriptions(_fit(features, texts, backbone), labels, rng=rng)
    whole = _match("description", texts[0], own, rivals, chance=1 / len(np.unique(labels)))
    answers = table.logits[rows]
    right = _told(answers, labels)
    told, asked = own > rivals, right[0] > right[1]
    by_class = _match(CLASS, prompt.format(classes[0]), *right, chance=1 / len(table.class_names))
    wrong = np.flatnonzero(told & ~asked)
    components = tuple(_component(name, one, features, backbone) for name, one in levels.items())
    return Misalignment(
        n=len(rows),
        description=form,
        whole=whole,
        by_class=by_class,
        components=components,
        gap=paired_shares(told, asked),
        misaligned=wilson(float(len(wrong) / told.sum()), int(told.sum())) if told.any() else None,
        follows=follow(answers.argmax(1), labels, levels, rng=rng),
        left_out=left_out,
        example=_example(table, int(rows[wrong[0]]), texts[wrong[0]]) if len(wrong) else None,
    )


def words_of(
    factors: Mapping[str, Shaped[np.ndarray, " rows"]],
) -> tuple[dict[str, Shaped[np.ndarray, " rows"]], tuple[tuple[str, str], ...]]:
    """The factors whose levels are words that speak alone, and the others with the reason.

    Example:
        >>> words_of({"style": np.array(["line", "colour"]), "take": np.array(["1", "2"])})[1]
        (('take', "'1' is no word"),)
    """
    named, left_out = dict[str, Shaped[np.ndarray, " rows"]](), list[tuple[str, str]]()
    for name, column in factors.items():
        levels = [str(level) for level in np.unique(column)]
        mute = [one for one in levels if not re.search(r"[^\W\d_]{2}", one) or one.strip().lower() in SILENT]
        if len(levels) > MOST_LEVELS:
            left_out.append((name, f"it has {len(levels)} levels, as identifiers have"))
        elif len(levels) < 2:
            left_out.append((name, "it has one level"))
        elif mute:
            left_out.append((name, f"{mute[0]!r} is no word"))
        elif not name.isidentifier() or name == CLASS:
            left_out.append((name, "its name cannot be a field of a description"))
        else:
            named[name] = column
    return named, tuple(left_out)


def offer_descriptions(
    match: Float[np.ndarray, "rows rows"], labels: Int[np.ndarray, " rows"], *, rng: Rng = 0
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """How well every image fits its own description, and the best of those of one image of every other class.

    Args:
        match: of every image, a row, with the description of every image, a column.
        labels: class of every image, as an index.
        rng: draws the images whose descriptions are offered; or a seed.

    Example:
        >>> own, rivals = offer_descriptions(np.eye(4), np.array([0, 0, 1, 1]))
        >>> (own > rivals).tolist()
        [True, True, True, True]
    """
    rng, rows = generator(rng), np.arange(len(labels))
    present, places = np.unique(labels, return_inverse=True)
    others = np.stack([rng.choice(np.flatnonzero(labels == label), len(labels)) for label in present], 1)
    rivals = np.take_along_axis(match, others, axis=1)
    rivals[rows, places] = -np.inf  # its own class is represented by itself
    return np.diag(match), rivals.max(1)


def follow(
    answers: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    factors: Mapping[str, Shaped[np.ndarray, " rows"]],
    *,
    rng: Rng = 0,
) -> tuple[Followed, ...]:
    """How far answers follow each factor among images of one class: I(Y_hat; G | Y) over H(Y_hat | Y), in excess.

    What answers share with levels that are shuffled within classes is taken off. [ours]

    Args:
        answers: class given to each image, as an index.
        labels: its class.
        factors: levels by name.
        rng: shuffles; or a seed.

    Example:
        >>> light, labels = np.tile(["day", "night"], 40), np.repeat([0, 1], 40)
        >>> found = follow((light == "night").astype(int), labels, {"light": light, "hour": np.arange(80) // 2 % 2})
        >>> [(one.factor, round(one.share, 1), one.certain) for one in found]
        [('light', 1.0, True), ('hour', 0.0, False)]
    """
    rng, shuffles = generator(rng), max(FEWEST_SHUFFLES, SHUFFLES_EACH * len(factors) - 1)
    pairs = np.unique(np.column_stack([labels, answers]), axis=0, return_inverse=True)[1].reshape(-1)
    spread = _bits(pairs) - _bits(labels)
    order = np.argsort(labels, kind="stable")
    found: dict[str, tuple[float, float]] = {}
    for name, column in factors.items():
        codes = np.unique(column, return_inverse=True)[1].reshape(-1)
        size = int(codes.max()) + 1
        beside = spread + _bits(labels * size + codes)  # minus H(Y, Y_hat, G) it is I(Y_hat; G | Y)
        seen = beside - _bits(pairs * size + codes)
        chance = np.empty(shuffles)
        for draw in range(shuffles):
            shuffled = np.empty_like(codes)
            shuffled[order] = codes[np.lexsort((rng.random(len(codes)), labels))]
            chance[draw] = beside - _bits(pairs * size + shuffled)
        share = float((seen - chance.mean()) / spread) if spread > 0 else 0.0
        found[name] = share, float((1 + (chance >= seen - 1e-12).sum()) / (1 + shuffles))
    corrected = holm({name: p_value for name, (_, p_value) in found.items()})
    followed = (Followed(name, max(0.0, share), corrected[name]) for name, (share, _) in found.items())
    return tuple(sorted(followed, key=lambda one: -one.share))


def _bits(codes: Int[np.ndarray, " _"]) -> float:
    """Entropy of a column of indices."""
    counts = np.bincount(codes)
    shares = counts[counts > 0] / len(codes)
    return float(-(shares * np.log2(shares)).sum())


def _default(prompt: str, factors: Sequence[str]) -> str:
    if not factors:
        raise InputError(
            "a description needs a labelled factor whose levels are words, such as domain: photo, sketch; received "
            "none. Label one, or name its levels in words."
        )
    stem = prompt.rstrip(". ").replace("{}", f"{{{CLASS}}}")
    return f"{stem}, {', '.join(f'{{{name}}}' for name in factors)}."


def _fields(form: str, factors: Mapping[str, object]) -> list[str]:
    """The factors that a description names."""
    fields = [name for _, name, _, _ in string.Formatter().parse(form) if name is not None]
    unknown = [name for name in fields if name != CLASS and name not in factors]
    if CLASS not in fields or len(fields) < 2 or unknown:
        raise InputError(
            f"a description must name {{{CLASS}}} and a factor of the data ({', '.join(factors) or 'there is none'}); "
            f"received {form!r}. Write for example 'a {{style}} of a {{{CLASS}}}'."
        )
    return list(dict.fromkeys(name for name in fields if name != CLASS))


def _fit(
    features: Float[np.ndarray, "rows dim"], texts: Sequence[str], backbone: Backbone
) -> Float[np.ndarray, "rows _"]:
    """How well every image fits every text; equal texts are encoded once."""
    unique, places = np.unique(np.array(texts), return_inverse=True)
    encoded = backbone.encode_texts(unique.tolist()).cpu().numpy()
    return (backbone.logit_scale * features @ encoded.T + backbone.logit_bias)[:, places.reshape(-1)]


def _told(
    logits: Logits, codes: Int[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """How well every row fits what is true of it, and the strongest other."""
    rows = np.arange(len(codes))
    others = logits.astype(float).copy()
    others[rows, codes] = -np.inf
    return logits[rows, codes].astype(float), others.max(1)


def _component(
    name: str, levels: Shaped[np.ndarray, " rows"], features: Float[np.ndarray, "rows dim"], backbone: Backbone
) -> Match:
    unique, codes = np.unique(levels, return_inverse=True)
    texts = [COMPONENT.format(level) for level in unique]
    own, rivals = _told(_fit(features, texts, backbone), codes.reshape(-1))
    return _match(name, texts[codes.reshape(-1)[0]], own, rivals, chance=1 / len(unique))


def _match(
    part: str, text: str, own: Float[np.ndarray, " _"], rivals: Float[np.ndarray, " _"], *, chance: float
) -> Match:
    found: Bool[np.ndarray, " _"] = own > rivals
    return Match(part, text, wilson(float(found.mean()), len(found)), chance, mean_interval(own - rivals))


def _example(table: EmbeddingTable, row: int, text: str) -> Example:
    names, file = table.class_names, str(table.files[row]) if table.files else ""
    return Example(file, text, names[table.labels[row]], names[int(table.logits[row].argmax())])
