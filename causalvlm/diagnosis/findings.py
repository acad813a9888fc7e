"""A diagnosis in plain words: what was found, and how far it may be believed."""

from causalvlm.diagnosis.front_door import ImageEffect
from causalvlm.diagnosis.ladder import LIGHTS
from causalvlm.diagnosis.levels import LevelDiagnosis
from causalvlm.diagnosis.misalignment import Misalignment
from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
from causalvlm.phrases import difference, percent, percents, spoken

CAVEAT = (
    "These are associations. Images at different levels are different photographs and may differ in more than the "
    "factor; comparing class by class takes out the mix of classes and nothing else."
)
"""What a diagnosis cannot say, beside whatever it says."""

PIXEL_CAVEAT = (
    "What is measured from pixels also depends on what is in the picture: a bright picture may be one of snow. Where "
    "such a factor moves the margin it is a lead to be followed, by changing that factor alone."
)
"""What is added where factors were measured."""

NAMED_CLASSES = 3
NAMED_FACTORS = 5
TOLD_MEASURES = 3
"""Measured factors that get a paragraph of their own, those that go with the largest shifts."""


def summarize(diagnosis: Diagnosis) -> tuple[str, ...]:
    """The answer in plain words: one paragraph on the model, one on each labelled factor, and what was measured.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> summarize(diagnose(table))[0]
        'The model is right on 62 % of 40 images (47 to 76 %).'
    """
    right = f"{percent(diagnosis.accuracy.value)} of {diagnosis.n:,} images ({percents(diagnosis.accuracy)})"
    labelled = [factor for factor in diagnosis.factors if factor.source == "label"]
    measured = [factor for factor in diagnosis.factors if factor.source == "pixels"]
    own = [factor for factor in diagnosis.factors if factor.source in ("concept", "cluster")]
    told = [factor for factor in measured if factor.moves_margin][:TOLD_MEASURES]
    return (
        f"{_subject(diagnosis)} is right on {right}.",
        *headline(diagnosis),
        *(summarize_factor(factor) for factor in labelled),
        *([_measured(measured)] if measured else []),
        *(summarize_factor(factor) for factor in told),
        *([_own(own)] if own else []),
        *([say_misalignment(diagnosis.misalignment)] if diagnosis.misalignment else []),
        *([say_front_door(diagnosis.front_door)] if diagnosis.front_door else []),
    )


def headline(diagnosis: Diagnosis) -> tuple[str, ...]:
    """The one sentence that a reader takes along; none where causes were not asked about.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> headline(diagnose(table))
        ('No factor certainly makes it fail; whether one does is unknown for light.',)
    """
    if diagnosis.graph is None:
        return ()
    lights = {light: [one for one in diagnosis.factors if one.ladder.light == light] for light in LIGHTS}
    if not lights["red"]:
        open_ = [spoken(one.factor) for one in diagnosis.factors if one.ladder.light != "green"]
        unknown = f"; whether one does is unknown for {_names(open_)}" if open_ else ""
        return (f"No factor certainly makes it fail{unknown}.",)
    worst = max(lights["red"], key=lambda one: abs(one.ladder.effect.value) if one.ladder.effect else 0.0)
    others = [spoken(one.factor) for one in lights["red"] if one is not worst]
    more = f" It also pays for {_names(others)}." if others else ""
    return (f"What moves its answers most is {spoken(worst.factor)}. {worst.ladder.sentence}{more}",)


def _names(names: list[str]) -> str:
    """Names in a row, the first few of many."""
    shown = names[:NAMED_FACTORS]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def caveats(diagnosis: Diagnosis) -> str:
    """What the diagnosis cannot say."""
    measured = any(factor.source == "pixels" for factor in diagnosis.factors)
    return f"{CAVEAT} {PIXEL_CAVEAT}" if measured else CAVEAT


def limits(diagnosis: Diagnosis) -> tuple[str, ...]:
    """What stays open whatever was found, one sentence each.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> limits(diagnose(table))[0][:40]
        'Factors that nobody labelled or measured'
    """
    hows = {one.ladder.effect.how for one in diagnosis.factors if one.ladder.effect}
    said = ["Factors that nobody labelled or measured are not in it, and may be what the model reads."]
    if "back-door" in hows:
        said.append(
            "An estimate from images as they are assumes that the graph holds: that the class and the listed factors "
            "are all that images at two levels differ in. No data can show that."
        )
    if "edited" in hows:
        said.append(
            "An edited image also bears the traces of the edit. Both images of a pair were edited, but not equally "
            "much; and what an edit does is not all that the factor is in the world."
        )
    if any(one.evidence.erasure for one in diagnosis.factors):
        said.append(
            "Erasing a direction takes away what is linearly decodable. An answer that stays may rest on other traces."
        )
    if diagnosis.groups:
        said.append(
            f"Only the probes know that images of one {spoken(diagnosis.groups)} belong together. All other intervals "
            "take images as independent, and are too narrow where those of one are alike."
        )
    said.append("All of it is about these images and these class names, not about the model as such.")
    return tuple(said)


def say_misalignment(found: Misalignment) -> str:
    """Whether images match their whole description and not their class, and what the answers follow.

    Example:
        >>> from causalvlm.diagnosis.misalignment import Match
        >>> from causalvlm.intervals import Estimate, Shift
        >>> told = Match("description", "", Estimate(0.9, 0.8, 0.95), 0.5, Estimate(1.0, 0.5, 1.5))
        >>> asked = Match("class", "", Estimate(0.6, 0.5, 0.7), 0.5, Estimate(0.0, -0.5, 0.5))
        >>> gap = Shift(0.3, 0.2, 0.4, 0.0)
        >>> found = Misalignment(99, "", told, asked, (), gap, Estimate(0.35, 0.25, 0.45), (), (), None)
        >>> say_misalignment(found)[:94]
        'Task misalignment: 90 % of images are told by their whole description, 60 % by their class as '
    """
    whole, asked, gap = found.whole.found, found.by_class.found, found.gap
    both = (
        f"{percent(whole.value)} of images are told by their whole description, {percent(asked.value)} by their class"
    )
    if gap.low > 0:
        points = difference(gap, unit="points", scale=100, words=("fewer", "more"))
        said = f"Task misalignment: {both} as the prompts ask for it: {points} by the description."
        if found.misaligned:
            said += f" Of those that match their description {percent(found.misaligned.value)} are given another class."
    else:
        said = f"No task misalignment is certain: {both} as the prompts ask for it."
    most = found.followed
    if most is None:
        return f"{said} Among images of one class, answers certainly follow no factor that is described."
    return (
        f"{said} Among images of one class, what answers follow most is {spoken(most.factor)}: it accounts for "
        f"{percent(most.share)} of what they vary by."
    )


def say_front_door(effect: ImageEffect) -> str:
    """What the image does to its label through S, or why nobody can say.

    Example:
        >>> say_front_door(ImageEffect(50, "log-probabilities of 2 classes", refusal="there are 50 images"))
        'Front door, from the image through S to the true label: refused, because there are 50 images.'
    """
    asked = "Front door, from the image through S to the true label"
    if effect.front_door is None:
        return f"{asked}: refused, because {effect.refusal.rstrip('.')}. {effect.remedy}".strip()
    shift = difference(effect.front_door, unit="points", scale=100)
    said = f"{asked}: the share of {effect.outcome!r} is {shift} in {effect.treated} than in {effect.control}"
    if effect.failed:
        return f"{said}; but that is refuted: {', '.join(effect.failed)}. {effect.remedy}".strip()
    open_ = [name for name, one in (effect.checks or {}).items() if one.verdict == "cannot tell"]
    told = f" What could not be told: {', '.join(open_)}." if open_ else ""
    return f"{said}{'' if effect.certain else ': nothing certain'}.{told} It rests on what no data can show."


def summarize_factor(factor: FactorDiagnosis) -> str:
    """Whether the model sees the factor, and what goes with it."""
    return f"{_decodable(factor)} {_moves(factor)}"


def _measured(factors: list[FactorDiagnosis]) -> str:
    """Which of the measured factors are in the embedding, and with which the margin moves."""
    read = [factor.factor for factor in factors if factor.decodable]
    beyond = [factor.factor for factor in factors if factor.decodable_given_class]
    moving = [factor.factor for factor in factors if factor.moves_margin]
    several = f"{len(factors)} factors were" if len(factors) > 1 else "One factor was"
    return (
        f"{several} measured from the pixels. The embedding certainly tells of {', '.join(read) or 'none'}; beyond "
        f"what the class tells, of {', '.join(beyond) or 'none'}. The margin certainly moves with "
        f"{', '.join(moving) or 'none'}."
    )


def _own(factors: list[FactorDiagnosis]) -> str:
    """Which of the model's own views the margin moves with."""
    moving = [factor.factor for factor in factors if factor.moves_margin]
    return (
        f"{', '.join(factor.factor for factor in factors)}: as the model itself sees it, in words or in groups of its "
        f"embeddings. The margin certainly moves with {', '.join(moving) or 'none'} of them; what else such images "
        "have in common is to be looked at."
    )


def _subject(diagnosis: Diagnosis) -> str:
    source = diagnosis.source
    if source is None:
        return "The model"
    method = "zero-shot" if source.method == "zero-shot" else "with the adapter"
    return f"On {source.data}, the backbone {source.backbone!r} ({method})"


def _decodable(factor: FactorDiagnosis) -> str:
    probe = factor.probe
    read = (
        f"a linear probe reads it right from {percent(probe.accuracy.value)} of embeddings "
        f"({percents(probe.accuracy)}); always guessing the commonest level is right for {percent(probe.majority)}"
    )
    if not factor.decodable:
        return f"No trace of the factor {factor.factor!r} is certain in the embedding: {read}."
    if probe.bits_given_class is None:
        return (
            f"The embedding carries the factor {factor.factor!r}: {read}. Each class occurs at one level only, so "
            "class and factor cannot be told apart."
        )
    if not factor.decodable_given_class:
        return f"The embedding carries the factor {factor.factor!r}, though nothing certain beyond the class: {read}."
    return f"The embedding carries the factor {factor.factor!r}, also among images of one class: {read}."


def _moves(factor: FactorDiagnosis) -> str:
    level = factor.farthest
    if level is None or level.margin_shift is None:
        return f"No class has two images at {factor.reference!r} and at another level: what goes with it is unknown."
    margin, accuracy = difference(level.margin_shift, unit="nats", digits=1), ""
    if level.accuracy_shift:
        accuracy = f" and the accuracy {difference(level.accuracy_shift, unit='points', scale=100)}"
    sentence = (
        f"At {level.level!r}, class by class, the logit margin is {margin} than at {factor.reference!r}{accuracy}"
    )
    if not factor.moves_margin:
        return f"No level's margin differs from the reference's for certain. {sentence}."
    return f"{sentence}. {_classes(factor, level)}".strip()


def _classes(factor: FactorDiagnosis, level: LevelDiagnosis) -> str:
    """Classes that lose margin for certain at a level, the largest loss first."""
    losses = {
        cell.class_name: cell.margin_shift.value
        for cell in factor.cells
        if cell.level == level.level and cell.margin_shift and cell.margin_shift.high < 0
    }
    names = sorted(losses, key=lambda name: losses[name])[:NAMED_CLASSES]
    return f"Most margin is lost by {', '.join(names)}." if names else ""
