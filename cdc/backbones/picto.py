"""`picto`: a small CLIP whose weights come with this package, flawed on purpose, and its twin without the flaw.

Both were pre-trained on pictures of pictograms (`analyses/pretrain_picto.py`): `picto` on pictures whose concept, style
and background share a hidden cause, `picto-unconfounded`, the control, on pictures where they do not. The model cards
lie beside the weights.
"""

from dataclasses import replace
from pathlib import Path

from cdc.backbones.backbone import Backbone, Precision
from cdc.backbones.open_clip_models import load_open_clip

_WEIGHTS = Path(__file__).parent / "weights"


def load_picto(name: str, *, device: str, precision: Precision) -> Backbone:
    """Load a bundled model, as open_clip loads a model folder: no network, no download.

    Args:
        name: ``"picto"`` or ``"picto-unconfounded"``.
        device: where the towers live.
        precision: of weights and activations; on disk the weights are in half precision.

    Raises:
        InputError: if the weights cannot be read.

    Example:
        >>> load_picto("picto", device="cpu", precision="fp32").dim
        192
    """
    loaded = load_open_clip(str(_WEIGHTS / name), None, device=device, precision=precision)
    return replace(loaded, name=name)
