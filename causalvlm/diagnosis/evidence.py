"""All that is known of one factor: what a probe reads, what goes with it, what setting or erasing it does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from causalvlm.diagnosis.association import Association
from causalvlm.diagnosis.beside import Beside
from causalvlm.diagnosis.columns import Origin
from causalvlm.diagnosis.effects import FactorEffect
from causalvlm.diagnosis.interventions import Intervention
from causalvlm.diagnosis.pairs import Pair
from causalvlm.multiplicity import FALSE_ALARM_RATE
from causalvlm.probes.erasure import Erasure
from causalvlm.probes.linear import ProbeResult


@dataclass(frozen=True)
class AdjustedPValues:
    """P-values of one factor, corrected by Holm's method for all factors and levels that were asked the same.

    Attributes:
        bits: that the probe knows no more of the factor than its frequencies.
        bits_given_class: that it knows no more than the class does; None where that cannot be asked.
        margin: for each level, that its margin is the reference's.
        association: that the factor does not go with the class.
        changes: for each level that was set, that hardly an answer changes.
        accuracy: for each level that was set, that accuracy stays.
        erasure: that erasing the factor does no more than erasing random directions; None where it was not done.
    """

    bits: float
    bits_given_class: float | None = None
    margin: Mapping[str, float] = field(default_factory=dict[str, float])
    association: float = 1.0
    changes: Mapping[str, float] = field(default_factory=dict[str, float])
    accuracy: Mapping[str, float] = field(default_factory=dict[str, float])
    erasure: float | None = None

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """What the ladder of one factor is climbed by.

    Attributes:
        probe: what the embedding tells of it.
        association: with the class.
        adjusted: p-values corrected for all factors, which the verdicts follow.
        effect: from images as they are; None if it was not asked.
        interventions: what setting it does, a level each; none where it cannot be set.
        erasure: what erasing its directions does; None where that was not possible or needed.
        pairs: images whose answer changes when it is set.
        source: where its levels come from.
        beside: what its probe is held against; None where that was not asked.
    """

    probe: ProbeResult
    association: Association
    adjusted: AdjustedPValues
    effect: FactorEffect | None = None
    interventions: tuple[Intervention, ...] = ()
    erasure: Erasure | None = None
    pairs: tuple[Pair, ...] = ()
    source: Origin = "label"
    beside: Beside | None = None

    @property
    def changing(self) -> tuple[Intervention, ...]:
        """The levels to which setting the factor certainly changes answers."""
        return tuple(one for one in self.interventions if self.adjusted.changes[one.level] < FALSE_ALARM_RATE)

    @property
    def costing(self) -> tuple[Intervention, ...]:
        """The levels to which setting the factor certainly changes accuracy."""
        return tuple(one for one in self.interventions if self.adjusted.accuracy[one.level] < FALSE_ALARM_RATE)

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "probe": self.probe.to_record(),
            "association": self.association.to_record(),
            "adjusted_p_values": self.adjusted.to_record(),
            "observed_effect": self.effect.to_record() if self.effect else None,
            "interventions": [one.to_record() for one in self.interventions],
            "erasure": self.erasure.to_record() if self.erasure else None,
            "beside": self.beside.to_record() if self.beside else None,
        }
