"""Prompt templates: the hand-crafted one of a data set, and the words that learnable ones start from."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.backbones.tokens import fits
from cdc.data.dataset import require_class_names
from cdc.errors import InputError
from cdc.prompts.text_encoding import initial_contexts

PHRASES = ("a photo of a", "a picture of the", "an image of one", "this is a good")
"""Words that the learnable templates start from: four tokens each in CLIP's and BERT's vocabularies, more in others."""

MOST_TEMPLATES = 1000
"""Learnable templates that a method may have: four are usual, and each takes memory for every class."""

REPEAT_NOISE = 0.1
"""Noise on a phrase that is used again, relative to the spread of the embeddings: equal templates would stay equal."""


def fill_template(template: str, class_names: Sequence[str]) -> list[str]:
    """Put each class name (underscores as spaces) into the template.

    Raises:
        InputError: if the template does not contain ``{}`` exactly once, or `class_names` is no list of names.

    Example:
        >>> fill_template("a photo of a {}.", ["polar_bear"])
        ['a photo of a polar bear.']
    """
    if template.count("{}") != 1:
        raise InputError(f"a template must contain '{{}}' once; received {template!r}.")
    return [template.replace("{}", name.replace("_", " ")) for name in require_class_names(class_names)]


def encode_template(backbone: Backbone, template: str, class_names: Sequence[str]) -> Float[Tensor, "classes dim"]:
    """Unit-length features of the hand-crafted prompts of `class_names`: t^0.

    Raises:
        InputError: as `fill_template`, or if a prompt does not fit the text tower.

    Example:
        >>> import cdc
        >>> encode_template(cdc.load_backbone("picto"), "a picture of a {}.", ["dog", "cat"]).shape
        torch.Size([2, 192])
    """
    return _encode(backbone, fill_template(template, class_names))


def encode_ensemble(
    backbone: Backbone, templates: Sequence[str], class_names: Sequence[str]
) -> Float[Tensor, "classes dim"]:
    """Mean over templates of a class's unit-length features, brought to unit length again.

    An ensemble in the embedding space, which classifies at the cost of one template (Radford et al., ICML 2021, section
    3.1.4).

    Raises:
        InputError: as `fill_template`, or if a prompt does not fit the text tower.

    Example:
        >>> import cdc
        >>> encode_ensemble(cdc.load_backbone("picto"), ["a {}.", "a drawing of a {}."], ["dog", "cat", "tree"]).shape
        torch.Size([3, 192])
    """
    texts = [text for template in templates for text in fill_template(template, class_names)]
    features = _encode(backbone, texts).unflatten(0, (len(templates), len(class_names)))
    return functional.normalize(features.mean(0), dim=-1)


def _encode(backbone: Backbone, prompts: Sequence[str]) -> Float[Tensor, "classes dim"]:
    """Features of whole prompts: two that are cut at the same place would be told apart by nothing."""
    text = backbone.text
    for prompt, fit in zip(prompts, fits(text.tokenizer, prompts, text.context_length), strict=True):
        if not fit:
            raise InputError(
                f"a prompt must fit the {text.context_length} tokens of the text tower; received {prompt!r}. Shorten "
                "the class name or the template."
            )
    return backbone.encode_texts(prompts)


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
        InputError: if there are more than `MOST_TEMPLATES` templates.
    """
    if templates > MOST_TEMPLATES:
        raise InputError(f"templates must be at most {MOST_TEMPLATES}; received {templates}. Four are usual.")
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
