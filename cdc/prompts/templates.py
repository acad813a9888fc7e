"""Prompt templates: the hand-crafted one of a data set, and the words that learnable ones start from."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.errors import InputError
from cdc.prompts.text_encoding import initial_contexts

PHRASES = ("a photo of a", "a picture of the", "an image of one", "this is a good")
"""Words that the learnable templates start from: four tokens each in CLIP's and BERT's vocabularies, more in others."""

REPEAT_NOISE = 0.1
"""Noise on a phrase that is used again, relative to the spread of the embeddings: equal templates would stay equal."""


MOST_TEMPLATES = 1000
"""Far more than anyone has trained; a setting beyond it is a mistake, or meant to exhaust the memory."""


def fill_template(template: str, class_names: Sequence[str]) -> list[str]:
    """Put each class name (underscores as spaces) into the template.

    Raises:
        InputError: if the template does not contain ``{}`` exactly once.

    Example:
        >>> fill_template("a photo of a {}.", ["polar_bear"])
        ['a photo of a polar bear.']
    """
    if template.count("{}") != 1:
        raise InputError(f"a template must contain '{{}}' once; received {template!r}.")
    return [template.format(name.replace("_", " ")) for name in class_names]


def encode_template(backbone: Backbone, template: str, class_names: Sequence[str]) -> Float[Tensor, "classes dim"]:
    """Unit-length features of the hand-crafted prompts of `class_names`: t^0.

    Raises:
        InputError: if the template does not contain ``{}`` exactly once.

    Example:
        >>> import cdc
        >>> encode_template(cdc.load_backbone("picto"), "a picture of a {}.", ["dog", "cat"]).shape
        torch.Size([2, 192])
    """
    return backbone.encode_texts(fill_template(template, class_names))


def encode_ensemble(
    backbone: Backbone, templates: Sequence[str], class_names: Sequence[str]
) -> Float[Tensor, "classes dim"]:
    """Mean over templates of a class's unit-length features, brought to unit length again.

    An ensemble in the embedding space, which classifies at the cost of one template (Radford et al., ICML 2021, section
    3.1.4).

    Raises:
        InputError: if a template does not contain ``{}`` exactly once.

    Example:
        >>> import cdc
        >>> encode_ensemble(cdc.load_backbone("picto"), ["a {}.", "a drawing of a {}."], ["dog", "cat", "tree"]).shape
        torch.Size([3, 192])
    """
    texts = [text for template in templates for text in fill_template(template, class_names)]
    features = backbone.encode_texts(texts).unflatten(0, (len(templates), len(class_names)))
    return functional.normalize(features.mean(0), dim=-1)


def start_contexts(
    backbone: Backbone, *, templates: int, context_tokens: int, seed: int
) -> Float[Tensor, "templates tokens dim"]:
    """Context tokens that M templates start from: the words of `PHRASES`, one phrase each.

    With other than four tokens, a phrase is cut to its last words or preceded by random tokens with the spread of
    word embeddings. A phrase that is used a second time gets noise.

    Args:
        backbone: whose vocabulary to use.
        templates: M.
        context_tokens: d.
        seed: of the random tokens and the noise.

    Raises:
        InputError: if there are more than 1,000 templates.
    """
    if templates > MOST_TEMPLATES:
        raise InputError(
            f"templates must be at most {MOST_TEMPLATES:,}; received {templates:,}. The usual number is 4."
        )
    generator = torch.Generator().manual_seed(seed)
    # One by one: a tokenizer may cut one phrase into more tokens than another.
    words = [initial_contexts(backbone, [phrase])[0].cpu() for phrase in PHRASES]
    spread = torch.cat(words).std()
    rows: list[Tensor] = []
    for index in range(templates):
        phrase = words[index % len(PHRASES)][-context_tokens:]
        missing = context_tokens - len(phrase)
        extra = torch.randn(missing, phrase.shape[-1], generator=generator) * spread
        noise = torch.randn(phrase.shape, generator=generator) * spread * REPEAT_NOISE
        rows.append(torch.cat([extra, phrase + noise if index >= len(PHRASES) else phrase]))
    return torch.stack(rows).to(backbone.device)
