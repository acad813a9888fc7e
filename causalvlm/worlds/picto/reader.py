"""A CLIP-like model that reads pictures of Picto straight from their pixels, and how right it is about each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

import cdc
from causalvlm.errors import InputError
from causalvlm.worlds.picto.collections import POOLED_TEMPLATE
from causalvlm.worlds.picto.scene import BATCH, render
from causalvlm.worlds.picto.scm import PictoSample
from cdc.data.dataset import require_class_names
from cdc.progress import image_bar


@dataclass(frozen=True, eq=False)
class PictoReader:
    """A model with the class names that it chooses among; `margin` and `correct` are outcomes for `true_effect`.

    Pictures are drawn at the size of the tower's input, on its device: no file, no resizing, no crop.

    Attributes:
        adapter: a trained method, or zero-shot prompts.
        class_names: what it chooses among; every concept of the world that it reads must be there.

    Example:
        >>> from causalvlm.worlds.picto.scm import PictoWorld
        >>> world = PictoWorld(("mammals",))
        >>> reader = read_with(cdc.load_backbone("picto"), world.concepts, template="a picture of a {}.")
        >>> reader.margin(world.sample(3, rng=np.random.default_rng(0))).shape
        (3,)
    """

    adapter: cdc.Adapter
    class_names: tuple[str, ...]

    def margin(self, sample: PictoSample) -> Float[np.ndarray, " rows"]:
        """Log odds of the true concept against its strongest rival, in nats; above zero where the model is right.

        Raises:
            InputError: if a concept of the sample's world is not among the class names.
        """
        return np.concatenate([np.zeros(0), *(self._margins(sample, at) for at in range(0, len(sample), BATCH))])

    def correct(self, sample: PictoSample) -> Bool[np.ndarray, " rows"]:
        """Whether the true concept is the most probable one.

        Raises:
            InputError: if a concept of the sample's world is not among the class names.
        """
        return self.margin(sample) > 0

    def features(self, sample: PictoSample, *, progress: str | None = None) -> Float[Tensor, "rows dim"]:
        """Unit-length embeddings of the pictures.

        Args:
            sample: the pictures.
            progress: label of a progress bar, shown on a terminal.
        """
        blocks = [torch.zeros(0, self.adapter.backbone.dim, device=self.adapter.backbone.device)]
        with image_bar(progress, total=len(sample)) as advance:
            for start in range(0, len(sample), BATCH):
                blocks.append(self._encode(sample, start))
                for _ in range(len(blocks[-1])):
                    advance()
        return torch.cat(blocks)

    def _encode(self, sample: PictoSample, start: int) -> Float[Tensor, "rows dim"]:
        black, white = self._ends
        scenes = sample.scenes[start : start + BATCH]
        drawn = render(scenes, size=white.shape[-1], device=self.adapter.backbone.device)
        return self.adapter.backbone.encode_images(torch.lerp(black, white, drawn.float() / 255))

    def _margins(self, sample: PictoSample, start: int) -> Float[np.ndarray, " rows"]:
        rows = slice(start, start + BATCH)
        features = self._encode(sample, start)
        probabilities = self.adapter.classifier(self.class_names)(features).probabilities
        # A model can be so sure that a rival's probability leaves float32: the margin then stops at about 87 nats.
        logits = probabilities.double().clamp(min=torch.finfo(torch.float32).tiny).log()
        own = self._places(sample)[torch.from_numpy(sample.labels[rows])].to(logits.device)[:, None]
        rivals = logits.scatter(1, own, -torch.inf).amax(1)
        return (logits.gather(1, own)[:, 0] - rivals).cpu().numpy()

    @cached_property
    def _ends(self) -> tuple[Tensor, Tensor]:
        """What the tower's preprocessing makes of a black and of a white picture: all others lie between."""
        backbone = self.adapter.backbone
        black, white = (
            backbone.preprocess(Image.new("RGB", (64, 64), colour)).to(backbone.device) for colour in ("black", "white")
        )
        return black, white

    def _places(self, sample: PictoSample) -> Tensor:
        """The place among the class names of each concept of the sample's world."""
        missing = [name for name in sample.world.concepts if name not in self.class_names]
        if missing:
            raise InputError(
                f"class names must hold every concept of the world; received none for {missing[0]!r} "
                f"({len(missing)} of {len(sample.world.concepts)} are missing). Pass world.concepts."
            )
        return torch.tensor([self.class_names.index(name) for name in sample.world.concepts])


def read_with(
    model: cdc.Backbone | cdc.Adapter, class_names: Sequence[str], *, template: str | None = None
) -> PictoReader:
    """Make a reader from a backbone with a prompt, or from a trained adapter.

    Args:
        model: a backbone, read zero-shot, or an adapter.
        class_names: what it chooses among, such as `PictoWorld.concepts`; two or more.
        template: prompt with one ``{}`` for a backbone, by default "a picture of a {}."; an adapter has its own.

    Raises:
        InputError: if there are fewer than two class names, or an adapter comes with a template.

    Example:
        >>> read_with(cdc.load_backbone("picto"), ["dog", "cat"]).class_names
        ('dog', 'cat')
    """
    names = require_class_names(class_names)
    if len(names) < 2:
        raise InputError(f"class_names must hold at least two, for a rival; received {list(names)}.")
    if isinstance(model, cdc.Adapter):
        if template is not None:
            raise InputError(f"an adapter brings its own prompts; received the template {template!r}. Leave it out.")
        return PictoReader(model, names)
    data = cdc.ImageDataset("picto", names, (), (), (), template=template or POOLED_TEMPLATE)
    return PictoReader(cdc.fit(data, cdc.ZeroShotConfig(), model), names)
