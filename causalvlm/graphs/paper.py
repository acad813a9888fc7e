"""The causal graphs of the paper, and nine variants that break or mend the third.

Source: "Rethinking Misalignment in Vision-Language Model Adaptation from a Causal Perspective", NeurIPS 2024,
arXiv 2410.12816.
"""

from typing import Literal

from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph

PaperGraph = Literal["pretraining", "adaptation", "front_door"]
Variant = Literal["A", "B", "C", "D", "E", "F", "G", "H", "I"]

_FACTORS = "D -> G_r -> X; D -> G_i -> X; latent D G_r; "
_CHAIN = "X -> S -> Y; S -> Y_hat; "
_VARIANTS: dict[Variant, str] = {
    "A": _FACTORS + _CHAIN + "G_i -> Y; latent G_i",
    "B": _FACTORS + _CHAIN + "G_i -> Y; G_r -> Y; latent G_i",
    "C": _FACTORS + _CHAIN + "G_i -> Y; G_r -> Y; D -> Y; latent G_i",
    "D": _FACTORS + _CHAIN + "G_i -> Y",
    "E": _FACTORS + _CHAIN + "G_i -> Y; G_i -> S; latent G_i",
    "F": _FACTORS + _CHAIN + "G_i -> Y; X -> Y; latent G_i",
    "G": _FACTORS + "X -> {S1 S2} -> {Y Y_hat}; G_i -> Y; latent G_i",
    "H": _FACTORS + _CHAIN + "G_i -> Y; G_i -> S",
    "I": _FACTORS + _CHAIN + "latent G_i",
}
_GRAPHS: dict[PaperGraph, str] = {
    "pretraining": "D -> G_r -> X; D -> G_i -> X; G_r -> Y; D -> Y_hat; X -> Y_hat; latent D G_r G_i",
    "adaptation": "G_i -> X -> Y_hat; G_i -> Y_hat; G_r -> X; G_r -> Y; latent G_i G_r",
    "front_door": _VARIANTS["A"],
}


def paper_scm(graph: PaperGraph, *, variant: Variant | None = None) -> CausalGraph:
    """Return one of the paper's three causal graphs.

    Nodes: ``D`` pre-training data, ``G_r`` and ``G_i`` the factors relevant and irrelevant to the task, ``X``
    the image, ``S`` the semantics that the task needs, ``Y`` the true label and ``Y_hat`` the prediction.
    The paper draws one outcome. Here there are two, because they answer differently: in (c) a frozen model's
    prediction reads the image only, so nothing confounds `X` and `Y_hat`.

    Args:
        graph: ``"pretraining"`` (a), whose data leave a trace in the prediction; ``"adaptation"`` (b), where
            `G_i` confounds image and prediction; ``"front_door"`` (c), where `S` carries the whole effect.
        variant: only for ``"front_door"``. A, the default: `G_i` confounds. B: so does `G_r`. C: and
            `D`. D: A with `G_i` observed. E: A with a leak, ``G_i -> S``. F: A with ``X -> Y`` past `S`. G: A with
            two semantic sets. H: E with `G_i` observed. I: nothing confounds the label.

    Raises:
        InputError: an unknown graph or variant, or a variant of another graph.

    Example:
        >>> print(paper_scm("front_door"))
        D -> G_i; D -> G_r; G_i -> X; G_i -> Y; G_r -> X; S -> Y; S -> Y_hat; X -> S; latent D G_i G_r
        >>> print(paper_scm("front_door", variant="E").do("X").open_path("G_i", "S"))
        G_i -> S
    """
    if graph not in _GRAPHS:
        raise InputError(f"graph must be one of {', '.join(_GRAPHS)}; received {graph!r}. Choose one of these.")
    if variant is None:
        return CausalGraph(_GRAPHS[graph])
    if graph != "front_door" or variant not in _VARIANTS:
        raise InputError(
            f"a variant must be one of {', '.join(_VARIANTS)} of 'front_door'; received {variant!r} of "
            f"{graph!r}. Call paper_scm('front_door', variant='A')."
        )
    return CausalGraph(_VARIANTS[variant])
