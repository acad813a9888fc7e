"""The estimands: which observed quantity equals an effect, and what must hold for that."""

from dataclasses import dataclass
from typing import ClassVar

from causalvlm.graphs.latex import latex_name
from causalvlm.identification.criteria import Door, latex_names, listed, record, shown
from causalvlm.identification.expressions import Expression, Probability, product, summed
from causalvlm.identification.instrument import Instrument
from causalvlm.identification.mediation import Mediation
from causalvlm.identification.notation import LATEX, TEXT


@dataclass(frozen=True)
class BackDoor:
    """Adjustment for `adjustment`: P(Y | do(X)) = sum_Z P(Y | X, Z) P(Z) (Pearl, Causality 2009, theorem 3.3.2).

    Attributes:
        strategy: the name of the criterion, ``"back-door"``.
        treatment: the node that is set.
        outcome: the node that answers.
        adjustment: the nodes to adjust for, sorted; empty where nothing confounds.

    Example:
        >>> print(BackDoor("X", "Y", ("G_i",)).text())
        P(Y | do(X)) = sum_{G_i} P(Y | X, G_i) P(G_i)
        >>> print(BackDoor("X", "Y", ()).text())
        P(Y | do(X)) = P(Y | X)
    """

    strategy: ClassVar[Door] = "back-door"

    treatment: str
    outcome: str
    adjustment: tuple[str, ...]

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the estimand; `reason` holds the assumptions, and there are no covariates beside Z.

        Example:
            >>> record = BackDoor("X", "Y", ("G_i",)).to_record()
            >>> record["strategy"], record["adjustment"], record["covariates"]
            ('back-door', ['G_i'], [])
        """
        return record(self, self.adjustment, ())

    def _repr_latex_(self) -> str:
        return shown(self)

    def text(self) -> str:
        """Print the functional as plain text."""
        effect = f"P({self.outcome} | do({self.treatment}))"
        if not self.adjustment:
            return f"{effect} = P({self.outcome} | {self.treatment})"
        given = ", ".join(self.adjustment)
        return f"{effect} = sum_{{{given}}} P({self.outcome} | {self.treatment}, {given}) P({given})"

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(BackDoor("X", "Y", ("G_i",)).latex())
            P(Y \mid \mathrm{do}(X)) = \sum_{G_{i}} P(Y \mid X, G_{i})\, P(G_{i})
        """
        treatment, outcome = latex_name(self.treatment), latex_name(self.outcome)
        effect = rf"P({outcome} \mid \mathrm{{do}}({treatment}))"
        if not self.adjustment:
            return rf"{effect} = P({outcome} \mid {treatment})"
        given = latex_names(self.adjustment)
        return rf"{effect} = \sum_{{{given}}} P({outcome} \mid {treatment}, {given})\, P({given})"

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world for the functional to be the effect.

        Example:
            >>> BackDoor("X", "Y", ("G_i",)).assumptions()
            ('every back-door path from X to Y is blocked by G_i',)
        """
        x, y = self.treatment, self.outcome
        if not self.adjustment:
            return (f"nothing confounds {x} and {y}",)
        return (f"every back-door path from {x} to {y} is blocked by {listed(self.adjustment)}",)


@dataclass(frozen=True)
class FrontDoor:
    """Adjustment through `mediators`, within levels of `covariates` (Pearl, Causality 2009, theorem 3.3.4).

    P(Y | do(X)) = sum_C P(C) sum_S P(S | X, C) sum_X' P(Y | X', S, C) P(X' | C); the covariates are no
    effects of the treatment. Without a directed path from treatment to outcome `mediators` is empty, and the
    formula says what it should: P(Y | do(X)) = P(Y).

    Attributes:
        strategy: the name of the criterion, ``"front-door"``.
        treatment: the node that is set.
        outcome: the node that answers.
        mediators: the nodes that carry the whole effect, sorted.
        covariates: the nodes within whose levels the criterion holds, sorted.

    Example:
        >>> print(FrontDoor("X", "Y", ("S",)).text())
        P(Y | do(X)) = sum_{S} P(S | X) sum_{X'} P(Y | X', S) P(X')
        >>> print(FrontDoor("X", "Y", ("S",), ("C",)).text())
        P(Y | do(X)) = sum_{C} P(C) sum_{S} P(S | X, C) sum_{X'} P(Y | X', S, C) P(X' | C)
    """

    strategy: ClassVar[Door] = "front-door"

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    covariates: tuple[str, ...] = ()

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the estimand; `adjustment` holds the mediators.

        Example:
            >>> record = FrontDoor("X", "Y", ("S",), ("C",)).to_record()
            >>> record["strategy"], record["adjustment"], record["covariates"]
            ('front-door', ['S'], ['C'])
        """
        return record(self, self.mediators, self.covariates)

    def _repr_latex_(self) -> str:
        return shown(self)

    def text(self) -> str:
        """Print the functional as plain text."""
        effect = f"P({self.outcome} | do({self.treatment})) = "
        if not self.mediators:
            return f"{effect}P({self.outcome})"
        s, c, x = ", ".join(self.mediators), ", ".join(self.covariates), self.treatment
        if not c:
            return f"{effect}sum_{{{s}}} P({s} | {x}) sum_{{{x}'}} P({self.outcome} | {x}', {s}) P({x}')"
        return (
            f"{effect}sum_{{{c}}} P({c}) sum_{{{s}}} P({s} | {x}, {c}) "
            f"sum_{{{x}'}} P({self.outcome} | {x}', {s}, {c}) P({x}' | {c})"
        )

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(FrontDoor("X", "Y", ("S",)).latex())
            P(Y \mid \mathrm{do}(X)) = \sum_{S} P(S \mid X) \sum_{X'} P(Y \mid X', S)\, P(X')
        """
        x, y = latex_name(self.treatment), latex_name(self.outcome)
        effect = rf"P({y} \mid \mathrm{{do}}({x})) = "
        if not self.mediators:
            return rf"{effect}P({y})"
        s, c = latex_names(self.mediators), latex_names(self.covariates)
        if not c:
            return rf"{effect}\sum_{{{s}}} P({s} \mid {x}) \sum_{{{x}'}} P({y} \mid {x}', {s})\, P({x}')"
        return (
            rf"{effect}\sum_{{{c}}} P({c}) \sum_{{{s}}} P({s} \mid {x}, {c}) "
            rf"\sum_{{{x}'}} P({y} \mid {x}', {s}, {c})\, P({x}' \mid {c})"
        )

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world for the functional to be the effect.

        Example:
            >>> for assumption in FrontDoor("X", "Y", ("S",)).assumptions():
            ...     print(assumption)
            full mediation: every directed path from X to Y passes through S
            first stage: no back-door path from X to S is open
            second stage: every back-door path from S to Y is blocked by X
            >>> FrontDoor("X", "Y", ()).assumptions()
            ('no directed path leads from X to Y',)
        """
        x, y = self.treatment, self.outcome
        if not self.mediators:
            return (f"no directed path leads from {x} to {y}",)
        s = listed(self.mediators)
        given = f" given {listed(self.covariates)}" if self.covariates else ""
        return (
            f"full mediation: every directed path from {x} to {y} passes through {s}",
            f"first stage: no back-door path from {x} to {s} is open{given}",
            f"second stage: every back-door path from {s} to {y} is blocked by {listed((x, *self.covariates))}",
        )


@dataclass(frozen=True)
class Functional:
    """What the general algorithm finds where no adjustment serves: any formula of observed probabilities.

    Attributes:
        strategy: the name of the algorithm, ``"general"``.
        treatment: the node that is set.
        outcome: the node that answers.
        expression: P(outcome | do(treatment)).
        districts: the ancestors of the outcome in the groups that hidden causes join, each sorted.

    Example:
        >>> napkin = Functional("X", "Y", Probability(("Y",), ("Z", "X")), (("X",), ("Y",), ("Z",)))
        >>> print(napkin.text())
        P(Y | do(X)) = P(Y | Z, X), for any Z
    """

    strategy: ClassVar[Door] = "general"

    treatment: str
    outcome: str
    expression: Expression
    districts: tuple[tuple[str, ...], ...]

    @property
    def others(self) -> tuple[str, ...]:
        """The nodes beside treatment and outcome that the formula names, sorted."""
        return tuple(sorted(self.expression.names - {self.treatment, self.outcome}))

    @property
    def free(self) -> tuple[str, ...]:
        """Nodes at each of whose levels the formula holds, sorted."""
        return tuple(sorted(self.expression.free - {self.treatment, self.outcome}))

    @property
    def averaged(self) -> Expression:
        """The expression averaged over the free nodes as they occur with the treatment: a level without it has no say.

        Example:
            >>> verma = summed(["B"], product([Probability(("B",), ("A",)), Probability(("Y",), ("A", "B", "X"))]))
            >>> print(TEXT.write(Functional("X", "Y", verma, ()).averaged, visible="XY"))
            sum_{A} P(A | X) sum_{B} P(Y | A, B, X) P(B | A)
        """
        if not self.free:
            return self.expression
        return summed(self.free, product([Probability(self.free, (self.treatment,)), self.expression]))

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the estimand; `adjustment` holds the other nodes.

        Example:
            >>> record = Functional("X", "Y", Probability(("Y",), ("X", "Z")), (("X",), ("Y", "Z"))).to_record()
            >>> record["strategy"], record["adjustment"]
            ('general', ['Z'])
        """
        return record(self, self.others, ())

    def _repr_latex_(self) -> str:
        return shown(self)

    def text(self) -> str:
        """Print the functional as plain text."""
        formula = TEXT.write(self.expression, visible=[self.treatment, self.outcome])
        holds = f", for any {listed(self.free)}" if self.free else ""
        return f"P({self.outcome} | do({self.treatment})) = {formula}{holds}"

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(Functional("X", "Y", Probability(("Y",), ("X",)), ()).latex())
            P(Y \mid \mathrm{do}(X)) = P(Y \mid X)
        """
        formula = LATEX.write(self.expression, visible=[self.treatment, self.outcome])
        holds = rf" \quad \text{{for any }} {latex_names(self.free)}" if self.free else ""
        return rf"P({latex_name(self.outcome)} \mid \mathrm{{do}}({latex_name(self.treatment)})) = {formula}{holds}"

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world for the functional to be the effect.

        Example:
            >>> for assumption in Functional("X", "Y", Probability(("Y",), ("X",)), (("X", "Z"), ("Y",))).assumptions():
            ...     print(assumption)
            no hidden cause joins nodes across the groups {X, Z} and {Y}
            no node directly causes another but along an edge of the graph
        """
        groups = tuple(f"{{{', '.join(nodes)}}}" for nodes in self.districts)
        joined = (f"no hidden cause joins nodes across the groups {listed(groups)}",) if len(groups) > 1 else ()
        return (*joined, "no node directly causes another but along an edge of the graph")


DoorEstimand = BackDoor | FrontDoor
"""Adjustment for a set of nodes, by one criterion or the other."""

Estimand = DoorEstimand | Functional | Instrument | Mediation
"""What can be estimated: `match` on it."""
