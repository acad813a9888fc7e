"""Dempster's rule for subjective opinions, in closed form and in log space.

The reduced rule for two opinions (Han et al., Trusted Multi-View Classification, ICLR 2021) with conflict
C = sum_{i != j} b1_i b2_j is b_k = (b1_k b2_k + b1_k u2 + b2_k u1) / (1 - C), u = u1 u2 / (1 - C). Since
b_k / u = e_k / K, it reads 1 + e_k / K = (1 + e1_k / K) (1 + e2_k / K): folding M opinions is a sum of
log1p(e_k / K), whatever the order. [derived; tests/cdc/beliefs/test_fusion.py checks it against the fold]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cdc.beliefs.evidence import Opinion
from cdc.errors import InputError, require_at_least, require_share
from cdc.markup import html_table

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 10
"""Rows of a prediction that a notebook shows."""

SMALLEST_BELIEF = 1e-300
"""Sums of beliefs below this count as none: what they would be divided into is none either."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Fused opinions on N images over K classes.

    Attributes:
        belief: [N, K], mass on each class.
        uncertainty: [N], mass on "I do not know".
        energy: [N], -logsumexp of the logits over the classes, higher for strangers (Liu et al., NeurIPS 2020), mean
            over templates where there are several; None for a prediction that was not made from logits.
        class_names: what the columns stand for; empty where nobody said.
        files: where the rows come from, ``""`` for a picture in memory; likewise.
        probabilities: [N, K], mean of the Dirichlet: b_k + u / K.
        logits: [N, K], log-probabilities up to a constant per row.
        labels: [N], most believed class.
        vacuity: [N], doubt for want of evidence.
        dissonance: [N], doubt because evidence speaks for several classes.
    """

    belief: Float[Tensor, "rows classes"]
    uncertainty: Float[Tensor, " rows"]
    energy: Float[Tensor, " rows"] | None = None
    _logits: Float[Tensor, "rows classes"] | None = None
    class_names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __repr__(self) -> str:
        rows, classes = self.belief.shape
        return f"<Prediction of {rows:,} images over {classes} classes, mean uncertainty {self.uncertainty.mean():.2f}>"

    def _repr_html_(self) -> str:
        rows, classes = self.belief.shape
        first = Prediction(self.belief[:MOST_SHOWN], self.uncertainty[:MOST_SHOWN], class_names=self.class_names)
        files = self.files[:MOST_SHOWN] or ("",) * len(first.belief)
        answers = (
            (Path(file).name or f"image {at}", *(f"{name} {share:.0%}" for name, share in top), f"{doubt:.2f}")
            for at, (file, top, doubt) in enumerate(zip(files, first.top(3), first.uncertainty.tolist(), strict=True))
        )
        header = ("image", "answer", *("then", "then")[: classes - 1], "uncertainty")
        more = f", the first {MOST_SHOWN} of them" if rows > MOST_SHOWN else ""
        return html_table(answers, header=header, title=f"{rows:,} images over {classes} classes{more}")

    @classmethod
    def from_logits(cls, logits: Float[Tensor, "rows classes"]) -> "Prediction":
        """Softmax probabilities as beliefs; a softmax knows no uncertainty, so that mass is zero.

        Example:
            >>> Prediction.from_logits(torch.zeros(1, 2)).belief
            tensor([[0.5000, 0.5000]])
        """
        return cls(logits.softmax(-1), logits.new_zeros(logits.shape[0]), -logits.logsumexp(-1), logits)

    @classmethod
    def join(cls, parts: "Sequence[Prediction]") -> "Prediction":
        """The rows of several predictions over the same classes, one after the other.

        Example:
            >>> one = Prediction.from_logits(torch.zeros(1, 2))
            >>> len(Prediction.join([one, one]).labels)
            2
        """
        energies = [part.energy for part in parts if part.energy is not None]
        return cls(
            belief=torch.cat([part.belief for part in parts]),
            uncertainty=torch.cat([part.uncertainty for part in parts]),
            energy=torch.cat(energies) if len(energies) == len(parts) else None,
            _logits=torch.cat([part.logits for part in parts]),
            class_names=parts[0].class_names,
            files=tuple(file for part in parts for file in part.files),
        )

    @property
    def probabilities(self) -> Float[Tensor, "rows classes"]:
        """Mean of the Dirichlet: b_k + u / K; rows sum to one."""
        return self.belief + self.uncertainty.unsqueeze(-1) / self.belief.shape[-1]

    @property
    def logits(self) -> Float[Tensor, "rows classes"]:
        """Log-probabilities up to a constant per row, for log odds: as the method has them, or from `probabilities`.

        An opinion can be so sure that a rival's probability leaves float32: its log odds then stop at about 87 nats.
        """
        if self._logits is not None:
            return self._logits
        return self.probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()

    @property
    def labels(self) -> Int[Tensor, " rows"]:
        """Most believed class of each row."""
        return self.belief.argmax(-1)

    def top(self, k: int = 5) -> tuple[tuple[tuple[str | int, float], ...], ...]:
        """The `k` most probable classes of each row with their probabilities, the most probable first.

        Raises:
            InputError: if `k` is less than 1.

        Example:
            >>> Prediction.from_logits(torch.tensor([[0.0, 9.0]])).top(1)
            (((1, 0.9998766183853149),),)
        """
        require_at_least("k", k, 1)
        found = self.probabilities.topk(min(k, self.belief.shape[-1]))
        rows = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        return tuple(tuple(zip(map(self._name, places), shares, strict=True)) for places, shares in rows)

    def to_frame(self) -> "pd.DataFrame":
        """A table with a row for each image: its file, its label with the probability, and the uncertainty.

        Example:
            >>> Prediction.from_logits(torch.zeros(1, 2)).to_frame()
               label  probability  uncertainty
            0      0          0.5          0.0
        """
        import pandas as pd

        frame = pd.DataFrame(
            {
                "label": [self._name(place) for place in self.labels.tolist()],
                "probability": self.probabilities.amax(-1).tolist(),
                "uncertainty": self.uncertainty.tolist(),
            }
        )
        if self.files:
            frame.insert(0, "file", self.files)
        return frame

    def _name(self, place: int) -> str | int:
        return self.class_names[place] if self.class_names else place

    @property
    def vacuity(self) -> Float[Tensor, " rows"]:
        """Doubt for want of evidence: the uncertainty mass u; zero for a softmax, which claims to know.

        Jøsang, Cho & Chen, Uncertainty Characteristics of Subjective Opinions, FUSION 2018.
        """
        return self.uncertainty

    @property
    def dissonance(self) -> Float[Tensor, " rows"]:
        """Doubt because evidence speaks for several classes: from 0, all belief on one class, to 1 - u.

        sum_k b_k sum_{j != k} b_j Bal(b_j, b_k) / sum_{j != k} b_j with `Bal(a, b) = 1 - |a - b| / (a + b)` (Jøsang,
        Cho & Chen, FUSION 2018). Templates that are each sure of another class make a fused opinion of this kind.

        Example:
            >>> torn = Prediction(torch.tensor([[0.4, 0.4], [0.8, 0.0]]), uncertainty=torch.tensor([0.2, 0.2]))
            >>> torn.dissonance
            tensor([0.8000, 0.0000])
        """
        # Class by class, so that no more than [N, K] is held for a thousand classes.
        belief = self.belief.double()
        others = belief.sum(-1, keepdim=True) - belief
        balanced = torch.zeros_like(belief)
        for rival in belief.unbind(-1):
            both = belief + rival[:, None]
            balanced += rival[:, None] * 2 * torch.minimum(belief, rival[:, None]) / both.clamp(min=SMALLEST_BELIEF)
        balanced -= belief  # each class balances itself perfectly, and is not its own rival
        share = balanced.clamp(min=0) / others.clamp(min=SMALLEST_BELIEF)
        return (belief * share).sum(-1).float()


def combine(opinions: Opinion, *, independence: float = 1.0) -> Prediction:
    """Fuse the opinions of M templates by Dempster's rule.

    Args:
        opinions: belief [M, N, K] and uncertainty [M, N].
        independence: 1 is Dempster's rule, which takes the sources for independent. Templates read the same image
            and are not: 0 weighs each source by 1/M, so that M equal opinions fuse to that opinion. In between, the
            weight of each source is w = independence + (1 - independence) / M. [ours]

    Returns:
        The fused opinion on each image.

    Raises:
        InputError: if `independence` is outside [0, 1], or an opinion's masses are below 0 or do not sum to one.

    Example:
        >>> belief = torch.tensor([[[0.6, 0.1]], [[0.5, 0.2]]])
        >>> fused = combine(Opinion(belief, uncertainty=torch.tensor([[0.3], [0.3]])))
        >>> fused.labels, round(float(fused.uncertainty), 4)
        (tensor([0]), 0.1084)
    """
    masses = torch.cat([opinions.belief, opinions.uncertainty.unsqueeze(-1)], dim=-1).detach()
    total = masses.sum(-1)
    if bool((masses < 0).any()) or not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        raise InputError(
            f"belief and uncertainty must be at least 0 and must sum to one in every row; received sums from "
            f"{float(total.min()):.4g} to {float(total.max()):.4g} and masses down to {float(masses.min()):.4g}. Make "
            "opinions from evidence with to_opinion."
        )
    belief, uncertainty = opinions.belief.float(), opinions.uncertainty.float().unsqueeze(-1)
    tiny = torch.finfo(torch.float32).tiny
    return _from_log_strength(fuse_log_strength(torch.log1p(belief / uncertainty.clamp(min=tiny)), independence))


def combine_evidence(evidence: Float[Tensor, "templates rows classes"], *, independence: float = 1.0) -> Prediction:
    """`combine` straight from evidence, without passing through masses.

    Example:
        >>> round(float(combine_evidence(torch.full((2, 1, 2), 2.0)).uncertainty), 4)
        0.1429
    """
    classes = evidence.shape[-1]
    return _from_log_strength(fuse_log_strength(torch.log1p(evidence.float() / classes), independence))


def fuse_evidence(
    evidence: Float[Tensor, "templates rows classes"], *, independence: float = 1.0
) -> Float[Tensor, "rows classes"]:
    """Evidence of the fused opinion, K (prod_m (1 + e^m_k / K)^w - 1), in float64 because products of evidence grow.

    Example:
        >>> fuse_evidence(torch.full((2, 1, 2), 2.0))
        tensor([[6., 6.]], dtype=torch.float64)
    """
    classes = evidence.shape[-1]
    return classes * torch.expm1(fuse_log_strength(torch.log1p(evidence.double() / classes), independence))


def fuse_log_strength(
    log_strength: Float[Tensor, "templates *_ classes"], independence: float
) -> Float[Tensor, "*_ classes"]:
    """Fused log(1 + e_k / K): the weighted sum over templates of each one's own.

    Example:
        >>> fuse_log_strength(torch.ones(3, 1, 2), 1.0)
        tensor([[3., 3.]])
    """
    require_share("independence", independence)
    return log_strength.sum(0) * (independence + (1 - independence) / len(log_strength))


def _from_log_strength(log_strength: Float[Tensor, "rows classes"]) -> Prediction:
    """Masses from L_k = log(1 + e_k / K): b_k and u are the softmax of log(e_k / K) and 0."""
    # log(exp(L) - 1), stable for large L; the floor keeps the gradient finite where there is no evidence at all.
    floor = torch.finfo(torch.float32).tiny
    ratio = log_strength + torch.log((-torch.expm1(-log_strength)).clamp(min=floor))
    masses = torch.cat([ratio, torch.zeros_like(ratio[:, :1])], dim=-1).softmax(-1)
    return Prediction(belief=masses[:, :-1], uncertainty=masses[:, -1])
