"""What the demonstration measured."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cdc
from causalvlm.diagnosis.result import Diagnosis
from causalvlm.intervals import Estimate

Outcome = Literal["right", "drawn"]
"""What is asked of a prediction: is it right, is it a concept that pre-training shows at the treated level?"""


@dataclass(frozen=True)
class RegimeAccuracy:
    """Zero-shot accuracy of one model in one regime.

    Attributes:
        model: name of the model.
        regime: of the pictures.
        n: pictures.
        accuracy: share of right answers, with its interval.
    """

    model: str
    regime: str
    n: int
    accuracy: Estimate


@dataclass(frozen=True)
class DemoEffect:
    """An effect on the prediction: the truth by re-rendering beside what observed pictures give.

    Attributes:
        factor: what is set.
        treated: the level that is compared.
        control: the level it is compared with.
        outcome: what is asked of the prediction.
        true: by intervention, with its Monte Carlo interval.
        estimate: through the back door, with its interval.
        naive: difference of the two groups as they were observed.
        adjustment: what was adjusted for.
        estimator: how.
    """

    factor: str
    treated: str
    control: str
    outcome: Outcome
    true: Estimate
    estimate: Estimate
    naive: float
    adjustment: tuple[str, ...]
    estimator: str

    @property
    def covered(self) -> bool:
        """Whether the two intervals meet the same value: their difference is within its own 95 per cent interval."""
        half = ((self.estimate.high - self.estimate.low) ** 2 + (self.true.high - self.true.low) ** 2) ** 0.5 / 2
        return abs(self.estimate.value - self.true.value) <= half

    def to_record(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "factor": self.factor, "treated": self.treated, "control": self.control, "outcome": self.outcome,
            "true": self.true.value, "true_low": self.true.low, "true_high": self.true.high,
            "estimated": self.estimate.value, "low": self.estimate.low, "high": self.estimate.high,
            "naive": self.naive, "adjustment": list(self.adjustment), "estimator": self.estimator,
        }  # fmt: skip


@dataclass(frozen=True)
class RefusedEffect:
    """A question that the observed pictures cannot answer, with the reason."""

    factor: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class HalfScores:
    """Accuracy on the classes that were trained on, and on those that were not.

    Attributes:
        base: share right among the base classes.
        new: share right among the new classes.
    """

    base: float
    new: float

    @property
    def harmonic_mean(self) -> float:
        """Of the two accuracies."""
        return cdc.harmonic_mean(self.base, self.new)

    def to_record(self) -> dict[str, float]:
        """Plain numbers for JSON."""
        return {"base": self.base, "new": self.new, "harmonic_mean": self.harmonic_mean}


@dataclass(frozen=True)
class Adaptation:
    """Base-to-new before and after CDC.

    Attributes:
        zero_shot: scores before.
        adapted: scores after.
        base_shift: change on the same base-class pictures, with its interval.
        new_shift: change on the same new-class pictures, with its interval.
        regime_shifts: change on the same pictures of every regime, all concepts, trained on downstream pictures of all.
        counts: classes and test pictures of each half, and shots.
        seconds: of both trainings, on cached views.
    """

    zero_shot: HalfScores
    adapted: HalfScores
    base_shift: Estimate
    new_shift: Estimate
    regime_shifts: Mapping[str, Estimate]
    counts: Mapping[str, int]
    seconds: float


@dataclass(frozen=True)
class DemoResult:
    """Everything that the demonstration measured, in the order of its story."""

    regimes: tuple[RegimeAccuracy, ...]
    diagnosis: Diagnosis
    effects: tuple[DemoEffect, ...]
    refused: tuple[RefusedEffect, ...]
    adaptation: Adaptation

    def accuracy(self, model: str, regime: str) -> RegimeAccuracy:
        """The entry of one model in one regime."""
        return next(entry for entry in self.regimes if (entry.model, entry.regime) == (model, regime))

    def to_record(self) -> dict[str, Any]:
        """The result as plain data for JSON."""
        return {
            "zero_shot": self.adaptation.zero_shot.to_record(),
            "adapted": self.adaptation.adapted.to_record(),
            "shifts": {
                "base": asdict(self.adaptation.base_shift),
                "new": asdict(self.adaptation.new_shift),
                **{regime: asdict(shift) for regime, shift in self.adaptation.regime_shifts.items()},
            },
            "counts": dict(self.adaptation.counts),
            "effects": [effect.to_record() for effect in self.effects],
            "refused": [asdict(refusal) for refusal in self.refused],
            "regimes": [
                {"model": entry.model, "regime": entry.regime, "n": entry.n, **_share(entry.accuracy)}
                for entry in self.regimes
            ],
            "factors": [_factor(self.diagnosis, place) for place in range(len(self.diagnosis.factors))],
        }


def _share(estimate: Estimate) -> dict[str, float]:
    return {"accuracy": estimate.value, "low": estimate.low, "high": estimate.high}


def _factor(diagnosis: Diagnosis, place: int) -> dict[str, Any]:
    factor = diagnosis.factors[place]
    return {
        "factor": factor.factor,
        "decodable": factor.decodable,
        "probe_accuracy": factor.probe.accuracy.value,
        "commonest_level": factor.probe.majority,
        "moves_margin": factor.moves_margin,
        "levels": {level.level: {"n": level.n, **_share(level.accuracy)} for level in factor.levels},
    }
