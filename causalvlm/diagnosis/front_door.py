"""What an image does to its label through S, by the paper's front door: an estimate, or a refusal with its reason.

X is coarse, a group of embeddings that lie together, because of a whole image S says nearly all (docs/front_door.md). A
labelled factor is no treatment here: in the paper's graph it is G_i, a cause of the label beside the image, and goes
into the back door that stands beside.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from causalvlm.diagnosis.audit.arrays import level_codes, prepare, whole
from causalvlm.diagnosis.audit.mediator import measure_mediation
from causalvlm.diagnosis.audit.overlap import overlap_of
from causalvlm.diagnosis.audit.verdicts import Finding, settle
from causalvlm.diagnosis.columns import Columns
from causalvlm.diagnosis.effects import shift_of
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import CausalVLMError
from causalvlm.estimation.effect import Effect, estimate_effect
from causalvlm.graphs.paper import paper_scm
from causalvlm.identification.estimands import BackDoor
from causalvlm.identification.identify import identify
from causalvlm.intervals import Estimate, Shift, newcombe, widened, wilson
from causalvlm.multiplicity import FALSE_ALARM_RATE
from causalvlm.refutation.refute import refute
from causalvlm.refutation.verdict import Verdicts

GROUPS = 2
"""Values of X. S tells more of them apart with near certainty on all data sets that were tried, and often these too."""

FEWEST_IMAGES, MOST_IMAGES = 300, 1500
"""Below the first nothing is asked; of more than the second so many are drawn, so that the answer takes seconds."""

FOLDS = 5
FEWEST_OF_LEVEL = 5
SHOWN_CLASSES, SHOWN_IMAGES = 3, 4

CANNOT_KNOW = (
    "That an image acts on its label at all. Here the label is read off the image, as in the paper's front-door graph. "
    "In the graph that the factors' effects rest on the class makes the image, and changing an image changes no class.",
    "That a group stands for its images. Within a group images differ, and what differs may move S and the label past "
    "the group. Labelled factors are tested for that; others cannot be.",
    "That nothing hidden moves both S and the label, or the group and S.",
)
"""What no data can show, whatever the number."""

REMEDIES: Mapping[str, str] = {
    "few": "Add images.",
    "overlap": (
        "S and X are made of one embedding. Ask of a factor that can be set instead: that needs no front door; or take "
        "images that lie between the groups."
    ),
    "mediation": (
        "Give S more to say (templates of CDC: causalvlm adapt, then --adapter), or label what else moves both image "
        "and label."
    ),
    "leak": "Label what S carries past the group and trust the back door beside it, or train on images without it.",
}

Status = Literal["refused", "refuted", "nothing certain", "estimated"]


@dataclass(frozen=True)
class Group:
    """Images whose embeddings lie together: one value of X.

    Attributes:
        name: "group 1" is the largest.
        n: its images.
        classes: the commonest, with their shares of the group.
        files: the images nearest to its centre.
    """

    name: str
    n: int
    classes: tuple[tuple[str, float], ...]
    files: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class ImageEffect:
    """What an image does to its label through S: that it is of one group rather than of another.

    Attributes:
        n: images.
        mediator: what S is, in words.
        groups: the values of X, the largest first; none after a refusal that came before them.
        treated: the group whose label is compared.
        control: the group that it is compared with.
        outcome: the class whose probability is compared: the one whose shares in the two groups differ most.
        association: its share in the one minus that in the other, as images are.
        front_door: the same, had images been of the one group and of the other; None after a refusal. Interval and
            p-value allow for the choice of the class.
        formula: what identifies it.
        assumptions: what must hold for that.
        checks: of the audit: "overlap" of the groups in S, and "mediation", which is asked where they overlap.
        refusal: why there is no number; empty where there is one.
        remedy: what would mend that, or a refutation; empty where nothing needs mending.
        warnings: of the estimate.
        verdicts: attempts to refute it.
        adjusted_for: the labelled factors that the back door adjusts for; none without any.
        back_door: the effect by the back door; None where it is not asked or refused.
        back_door_refusal: why.
    """

    n: int
    mediator: str
    groups: tuple[Group, ...] = ()
    treated: str = ""
    control: str = ""
    outcome: str = ""
    association: Estimate | None = None
    front_door: Shift | None = None
    formula: str = ""
    assumptions: tuple[str, ...] = ()
    checks: Mapping[str, Finding] | None = None
    refusal: str = ""
    remedy: str = ""
    warnings: tuple[str, ...] = ()
    verdicts: Verdicts | None = None
    adjusted_for: tuple[str, ...] = ()
    back_door: Shift | None = None
    back_door_refusal: str = ""

    def __repr__(self) -> str:
        return f"<ImageEffect through S on {self.outcome or 'the label'!r}: {self.status}>"

    @property
    def certain(self) -> bool:
        """Whether the front door certainly gives an effect."""
        return self.front_door is not None and self.front_door.p_value < FALSE_ALARM_RATE

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the attempts to refute it that succeeded; that little could undo what is not certain is no news."""
        failed = (one.name for one in self.verdicts or () if one.outcome == "failed")
        return tuple(name for name in failed if self.certain or name != "robustness")

    @property
    def status(self) -> Status:
        """What may be said of it."""
        if self.front_door is None:
            return "refused"
        if self.failed:
            return "refuted"
        return "estimated" if self.certain else "nothing certain"

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            **{name: getattr(self, name) for name in ("n", "mediator", "treated", "control", "outcome", "status")},
            "groups": [asdict(one) for one in self.groups],
            "association": asdict(self.association) if self.association else None,
            "front_door": asdict(self.front_door) if self.front_door else None,
            "formula": self.formula,
            "assumptions": list(self.assumptions),
            "checks": {name: one.to_record() for name, one in (self.checks or {}).items()},
            "refusal": self.refusal,
            "remedy": self.remedy,
            "warnings": list(self.warnings),
            "verdicts": [one.to_record() for one in self.verdicts or ()],
            "back_door": asdict(self.back_door) if self.back_door else None,
            "back_door_refusal": self.back_door_refusal,
            "adjusted_for": list(self.adjusted_for),
            "cannot_know": list(CANNOT_KNOW),
        }


def ask_front_door(columns: Columns, model: Model | None = None, *, rng: np.random.Generator) -> ImageEffect:
    """Estimate what an image does to its label through S, or say why that cannot be estimated.

    S is what each template of an adapter says of the classes, and of other models their answer. X are groups of
    embeddings by k-means, `GROUPS` of them. The effect is of the larger group against the other, on the probability of
    the class whose shares there differ most. It is refused where the groups do
    not overlap in S or where the audit's test of full mediation says "violated", for that class against all others; it
    is refuted where an attempt of `refute` succeeds, such as a labelled factor that S tells of past the groups.

    Args:
        columns: the labelled factors are suspects, and what the back door adjusts for.
        model: what answered; None takes the table's logits for S.
        rng: draws images, starts and folds.

    Example:
        >>> from causalvlm.diagnosis.columns import labelled_columns
        >>> rng = np.random.default_rng(0)
        >>> features, logits = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
        >>> table = EmbeddingTable(features, logits, np.tile([0, 1], 25), {}, ("cat", "dog"))
        >>> ask_front_door(labelled_columns(table), rng=rng).refusal
        'there are 50 images of 2 classes, and at least 300 of two are needed'
    """
    rows = np.sort(rng.permutation(len(columns.table))[:MOST_IMAGES])
    table = columns.table
    opinions = table.logits[None] if model is None or model.opinions is None else model.opinions(table.features)
    labels, features = table.labels[rows], table.features[rows].astype(np.float64)
    classes = len(np.unique(labels))
    said = ImageEffect(len(rows), _mediator(opinions.shape[0], len(table.class_names), model))
    different = len(np.unique(features, axis=0))
    if different < FEWEST_IMAGES or classes < 2:
        reason = f"there are {different} images of {classes} classes, and at least {FEWEST_IMAGES} of two are needed"
        return replace(said, refusal=reason, remedy=REMEDIES["few"])
    given = prepare(opinions[:, rows], features, labels, folds=FOLDS, rng=rng)
    mediator = whole(given)
    groups, overlap = _cut(features, mediator, rng)
    factors = {name: one.levels[rows] for name, one in columns.factors.items() if one.source == "label"}
    names = np.array([f"group {place + 1}" for place in range(int(groups.max()) + 1)])
    shares = np.array([np.bincount(labels[groups == one], minlength=len(table.class_names)) for one in (0, 1)], float)
    shares /= shares.sum(1, keepdims=True)
    asked = int(np.abs(shares[0] - shares[1]).argmax())
    first, second = (wilson(shares[one, asked], int((groups == one).sum())) for one in (0, 1))
    said = replace(
        said,
        groups=tuple(_describe(table, rows, groups, one, str(name)) for one, name in enumerate(names)),
        treated=str(names[0]), control=str(names[1]), outcome=table.class_names[asked],
        association=newcombe(first, second), checks={"overlap": overlap}, adjusted_for=tuple(factors),
    )  # fmt: skip
    study = _Study(names[groups], (labels == asked).astype(float), mediator, factors, classes, int(rng.integers(2**31)))
    said = study.through_back_door(said)
    if overlap.verdict == "violated":
        return replace(said, refusal=overlap.reason.rstrip("."), remedy=REMEDIES["overlap"])
    known = {name: codes for name, one in factors.items() if (codes := level_codes(one)).max() > 0}
    mediation = settle({("mediation",): measure_mediation(given, known, one=asked)})["mediation",]
    said = replace(said, checks={"overlap": overlap, "mediation": mediation})
    if mediation.verdict == "violated":
        return replace(said, refusal=mediation.reason.rstrip("."), remedy=REMEDIES["mediation"])
    return study.through_front_door(said)


def _mediator(templates: int, classes: int, model: Model | None) -> str:
    who = f"each of {templates} templates" if templates > 1 else ("the model" if model is None else model.name)
    return f"log-probabilities of {classes} classes by {who}"


def _cut(
    features: Float[np.ndarray, "rows dim"], mediator: Float[np.ndarray, "rows _"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " rows"], Finding]:
    """Groups of embeddings, the largest first, and whether they share values of S."""
    with threadpool_limits(limits=1):
        found = KMeans(GROUPS, random_state=int(rng.integers(2**31))).set_params(n_init=4).fit_predict(features)
    order = np.argsort(-np.bincount(found, minlength=GROUPS), kind="stable")
    groups = np.argsort(order)[found].astype(np.int64)
    overlap = overlap_of(mediator, groups, f"{GROUPS} groups of the embedding X", rng=rng)
    return groups, overlap


def _describe(
    table: EmbeddingTable, rows: Int[np.ndarray, " _"], groups: Int[np.ndarray, " _"], one: int, name: str
) -> Group:
    """A group by its commonest classes and the images nearest to its centre."""
    here = rows[groups == one]
    counts = np.bincount(table.labels[here], minlength=len(table.class_names))
    common = [place for place in np.argsort(-counts, kind="stable")[:SHOWN_CLASSES] if counts[place]]
    far = np.linalg.norm(table.features[here] - table.features[here].mean(0), axis=1)
    nearest = here[np.argsort(far, kind="stable")[:SHOWN_IMAGES]]
    files = tuple(str(Path(table.files[row])) for row in nearest) if table.files else ()
    return Group(name, len(here), tuple((table.class_names[i], float(counts[i] / len(here))) for i in common), files)


@dataclass(frozen=True, eq=False)
class _Study:
    """The columns that both doors are estimated from."""

    groups: np.ndarray
    outcome: Float[np.ndarray, " rows"]
    mediator: Float[np.ndarray, "rows _"]
    factors: Mapping[str, np.ndarray]
    classes: int
    seed: int

    @property
    def varying(self) -> dict[str, np.ndarray]:
        """A column for every labelled factor that varies."""
        return {f"G_i: {name}": one for name, one in self.factors.items() if len(np.unique(one)) > 1}

    @property
    def suspects(self) -> list[str]:
        """Those whose levels recur, so that S can be tested for them."""
        return [name for name, one in self.varying.items() if len(one) >= FEWEST_OF_LEVEL * len(np.unique(one))]

    @property
    def mediators(self) -> list[str]:
        """The columns of S."""
        return [f"S{place}" for place in range(self.mediator.shape[1])]

    def table(self) -> pd.DataFrame:
        """One row per image."""
        columns = {"X": self.groups, "Y": self.outcome, **dict(zip(self.mediators, self.mediator.T, strict=True))}
        return pd.DataFrame(columns | self.varying)

    def estimate(self, said: ImageEffect, *, door: Literal["front-door", "back-door"]) -> tuple[Effect, Shift]:
        """An effect by one door; its interval and p-value allow for the choice of the class."""
        front = door == "front-door"
        graph = paper_scm("front_door", variant="A" if front else "D")
        held = {"S": self.mediators} if front else {"G_i": list(self.varying)}
        effect = estimate_effect(
            self.table(), identify(graph, "X", "Y", strategy=door), rng=self.seed,
            treated=said.treated, control=said.control, columns=held,
        )  # fmt: skip
        return effect, widened(shift_of(effect), self.classes)

    def through_back_door(self, said: ImageEffect) -> ImageEffect:
        """The effect with the labelled factors held fixed, which assumes that nothing else confounds."""
        if not self.varying:
            return said
        try:
            return replace(said, back_door=self.estimate(said, door="back-door")[1])
        except CausalVLMError as error:
            return replace(said, back_door_refusal=str(error))

    def through_front_door(self, said: ImageEffect) -> ImageEffect:
        """The effect through S, and attempts to refute it, the back door among them."""
        try:
            effect, shift = self.estimate(said, door="front-door")
        except CausalVLMError as error:
            return replace(said, refusal=str(error), remedy=REMEDIES["overlap"])
        alternative = BackDoor("X", "Y", tuple(self.varying)) if said.back_door else None
        verdicts = refute(effect, self.table(), rng=self.seed, suspects=self.suspects, alternative=alternative)
        untested = [repr(name) for name in self.varying if name not in self.suspects]
        notes = [note for note in effect.warnings if "Choose others" not in note]
        notes += [f"S was not tested for {', '.join(untested)}: levels do not recur."] if untested else []
        said = replace(
            said, front_door=shift, formula=effect.estimand.text(), assumptions=effect.estimand.assumptions(),
            warnings=tuple(notes), verdicts=verdicts,
        )  # fmt: skip
        return replace(said, remedy=REMEDIES["leak"]) if any("leak" in name for name in said.failed) else said
