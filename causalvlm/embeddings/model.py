"""`Model`: what a diagnosis asks of a classifier, whatever stands behind it: pictures in, log-probabilities out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

import cdc
from causalvlm.errors import InputError

Pictures = Sequence[Image.Image]

Classify = Callable[[Float[np.ndarray, "rows dim"]], Float[np.ndarray, "rows classes"]]
"""From embeddings to log-probabilities of the classes, up to a constant per row."""

Opinions = Callable[[Float[np.ndarray, "rows dim"]], Float[np.ndarray, "templates rows classes"]]
"""The same of every template of a model, before anything is fused."""

Probabilities = Callable[[Pictures], Float[np.ndarray, "rows classes"]]
"""A classifier of one's own: from pictures to the probabilities of the classes, rows summing to one."""

SMALLEST = float(np.finfo(np.float32).tiny)
"""A probability below this is taken for it: its logarithm stays finite."""


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier that answers pictures and, where it reads embeddings, answers those too.

    Attributes:
        class_names: the closed set of answers.
        answer: log-probabilities of the classes, up to a constant per row, of pictures.
        encode: unit-length embeddings of pictures; None for a classifier that has none.
        classify: the same log-probabilities from embeddings; None for one that reads pixels.
        template: the hand-crafted prompt, with one ``{}``; empty for one that has none.
        reword: `classify` with the text features of other templates, averaged; None unless it is zero-shot.
        name: what it is called in a report.
        backbone: frozen towers behind it, whose text tower reads prompts; None where there are none.
        opinions: what each template says of the classes from embeddings, log-probabilities up to a constant per row;
            None for one that reads pixels.
    """

    class_names: tuple[str, ...]
    answer: Callable[[Pictures], Float[np.ndarray, "rows classes"]]
    encode: Callable[[Pictures], Float[np.ndarray, "rows dim"]] | None = None
    classify: Classify | None = None
    template: str = ""
    reword: Callable[[Sequence[str]], Classify] | None = None
    name: str = "the model"
    backbone: cdc.Backbone | None = None
    opinions: Opinions | None = None


def model_of(adapter: cdc.Adapter, class_names: Sequence[str] | None = None) -> Model:
    """A trained or zero-shot adapter as a model; its class names by default are those it was trained on.

    Example:
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> model = model_of(cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto")))
        >>> model.answer([Image.new("RGB", (64, 64))]).shape
        (1, 2)
    """
    classifier, backbone = adapter.classifier(class_names), adapter.backbone

    def answer(pictures: Pictures) -> Float[np.ndarray, "rows classes"]:
        return adapter.predict(pictures, class_names).logits.cpu().numpy()

    def encode(pictures: Pictures) -> Float[np.ndarray, "rows dim"]:
        return encode_pictures(backbone, pictures)

    @torch.no_grad()
    def classify(features: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows classes"]:
        return classifier(torch.from_numpy(np.array(features)).to(backbone.device)).logits.cpu().numpy()

    @torch.no_grad()
    def opinions(features: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "templates rows classes"]:
        said = cdc.template_logits(classifier, torch.from_numpy(np.array(features)).to(backbone.device))
        return said.float().cpu().numpy()

    def reword(templates: Sequence[str]) -> Classify:
        texts = [backbone.encode_texts([one.format(name) for name in classifier.class_names]) for one in templates]
        mean = torch.nn.functional.normalize(torch.stack(texts).mean(0), dim=-1)
        return lambda features: backbone.logit_scale * features @ mean.cpu().numpy().T

    return Model(
        class_names=classifier.class_names,
        answer=answer,
        encode=encode,
        classify=classify if classifier.reads == "features" else None,
        template=adapter.card.template,
        reword=reword if isinstance(adapter.card.method, cdc.ZeroShotConfig) else None,
        name=adapter.card.method.name,
        backbone=backbone,
        opinions=opinions if classifier.reads == "features" else None,
    )


@torch.no_grad()
def encode_pictures(backbone: cdc.Backbone, pictures: Pictures) -> Float[np.ndarray, "rows dim"]:
    """Embeddings of pictures in memory.

    Example:
        >>> encode_pictures(cdc.load_backbone("picto"), [Image.new("RGB", (64, 64))]).shape[0]
        1
    """
    return backbone.encode_images(pixels_of(backbone, pictures)).cpu().numpy()


def pixels_of(backbone: cdc.Backbone, pictures: Pictures) -> Float[torch.Tensor, "rows 3 _ _"]:
    """Pictures in memory as a backbone's preprocessing leaves them, on its device.

    Example:
        >>> pixels_of(cdc.load_backbone("picto"), [Image.new("RGB", (64, 64))]).shape[:2]
        torch.Size([1, 3])
    """
    return torch.stack([backbone.preprocess(picture.convert("RGB")) for picture in pictures]).to(backbone.device)


def model_from(probabilities: Probabilities, class_names: Sequence[str], *, name: str = "the model") -> Model:
    """A function from pictures to probabilities as a model.

    Args:
        probabilities: rows sum to one, one column per class name.
        class_names: the closed set of answers.
        name: what it is called in a report.

    Raises:
        InputError: on use, if the function does not give one finite probability per picture and class.

    Example:
        >>> model = model_from(lambda pictures: np.full((len(pictures), 2), 0.5), ("cat", "dog"))
        >>> model.answer([Image.new("RGB", (8, 8))])
        array([[-0.69314718, -0.69314718]])
    """
    names = tuple(class_names)

    def answer(pictures: Pictures) -> Float[np.ndarray, "rows classes"]:
        found = np.asarray(probabilities(pictures), dtype=float)
        expected = (len(pictures), len(names))
        if found.shape != expected or not np.isfinite(found).all() or (found < 0).any():
            raise InputError(
                f"a model must give one probability for each of {expected[0]} pictures and {expected[1]} class names; "
                f"received shape {found.shape}, smallest {found.min() if found.size else 'none'}. Return softmax "
                "outputs, one row per picture."
            )
        return np.log(np.maximum(found, SMALLEST))

    return Model(names, answer, name=name)
