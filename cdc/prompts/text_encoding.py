"""Text features of learnable templates for any list of class names: exact, and without the work that is not needed.

A prompt is start token, `d` context tokens, class name, full stop, end token. For causal towers the first two are
computed once per template, and nothing after the end token is computed at all (see `docs/method.md`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cdc.backbones.backbone import DTYPES, Backbone
from cdc.backbones.tokens import PLACEHOLDER, count_tokens, fits
from cdc.data.dataset import require_class_names
from cdc.errors import InputError

DEFAULT_MEMORY_BUDGET = 4 << 30
"""Bytes of activations that may be kept for the backward pass before classes are encoded in checkpointed chunks."""

FLOATS_PER_TOKEN_AND_LAYER = 14
"""Activations kept per token, layer and unit of width: 9 to 14 in a pre-norm block with a fourfold MLP."""

SMALLEST_BUCKET = 8
"""A group of fewer classes is not worth a pass of its own."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Tokenised class names, ready to follow a context; made once per class list.

    Everything that a pass over them has to know is settled here, so that no pass waits for a GPU to tell a length.

    Attributes:
        class_names: as given.
        start: ids before the context.
        ends: ids after the context, padded.
        lengths: how many of the leading `ends` matter, per class; on the CPU.
        tokens: sum of the lengths.
        groups: `ends` of classes of about equal length, each cut to its longest.
        place: where each class stands in the groups, one after the other.
        context_tokens: tokens that a context takes.
    """

    class_names: tuple[str, ...]
    start: Int[Tensor, " _"]
    ends: Int[Tensor, "classes tokens"]
    lengths: Int[Tensor, " classes"]
    tokens: int
    groups: tuple[Int[Tensor, "_ _"], ...]
    place: Int[Tensor, " classes"]
    context_tokens: int


def tokenize_prompts(backbone: Backbone, class_names: Sequence[str], *, context_tokens: int) -> Prompts:
    """Tokenise ``"X X {name}."``: a placeholder for each context token, then the name (Zhou et al., CoOp, IJCV 2022).

    Args:
        backbone: whose tokenizer to use.
        class_names: underscores become spaces.
        context_tokens: number of learnable tokens d.

    Raises:
        InputError: if `class_names` is no list of names, or a prompt does not fit the tower's context length.

    Example:
        >>> import cdc
        >>> prompts = tokenize_prompts(cdc.load_backbone("photo"), ["dog", "ice_cream"], context_tokens=4)
        >>> prompts.lengths.tolist()  # name, full stop and end token
        [3, 4]
    """
    class_names, text = require_class_names(class_names), backbone.text
    lead = f"{PLACEHOLDER} " * min(context_tokens, text.context_length)  # more never fit either
    texts = [f"{lead}{name.replace('_', ' ')}." for name in class_names]
    for name, fit in zip(class_names, fits(text.tokenizer, texts, text.context_length), strict=True):
        if not fit:
            raise InputError(
                f"a prompt must fit the {text.context_length} tokens of the text tower; received {name!r} after "
                f"{context_tokens} context tokens. Shorten the name or use fewer context tokens."
            )
    ids = text.tokenize(texts)
    first = text.start_tokens + context_tokens
    ends, lengths = ids[:, first:], (text.lengths(ids) - first).cpu()
    buckets = _buckets(lengths)
    return Prompts(
        class_names=class_names,
        start=ids[0, : text.start_tokens],
        ends=ends,
        lengths=lengths,
        tokens=int(lengths.sum()),
        groups=tuple(ends[bucket.to(ends.device), : int(lengths[bucket].max())] for bucket in buckets),
        place=torch.cat(buckets).argsort().to(ends.device),
        context_tokens=context_tokens,
    )


def encode_prompts(
    backbone: Backbone,
    contexts: Float[Tensor, "templates tokens dim"],
    prompts: Prompts,
    *,
    deeper: Float[Tensor, "_ templates tokens dim"] | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
) -> Float[Tensor, "templates classes _"]:
    """Unit-length text features of every (template, class) pair, differentiable in `contexts` and `deeper`.

    Classes are encoded in buckets of equal length, so that short names do not pay for long ones. Where all of them
    would keep more than `memory_budget` bytes for the backward pass, they are encoded in chunks that are recomputed
    there one by one.

    Args:
        backbone: frozen towers.
        contexts: M templates of d context tokens.
        prompts: from `tokenize_prompts` with the same d.
        deeper: deep prompts, [layers, M, d, width]: each takes the place of the context's states before one more block,
            from the second on (Khattak et al., MaPLe, CVPR 2023, section 3.2). The context stands before the class
            name, so that they cost nothing per class.
        memory_budget: bytes of activations that may be kept.

    Returns:
        [M, K, dim], float32.

    Raises:
        InputError: if the contexts do not fit the prompts or the tower, or the tower takes no deep prompts.

    Example:
        >>> import cdc, torch
        >>> backbone = cdc.load_backbone("photo")
        >>> prompts = tokenize_prompts(backbone, ["dog", "ice_cream"], context_tokens=4)
        >>> encode_prompts(backbone, torch.zeros(1, 4, backbone.text.width), prompts).shape
        torch.Size([1, 2, 384])
    """
    _check_contexts(backbone, contexts, prompts)
    text = backbone.text
    prefix = text.share_prefix(_layers(backbone, contexts, deeper), prompts.start)
    groups, recompute = prompts.groups, False
    if torch.is_grad_enabled() and any(shared.requires_grad for shared in prefix):
        # A tower that shares nothing runs start tokens and context again for every class.
        repeated = 0 if text.shares_prefix else len(prompts.start) + prompts.context_tokens
        bytes_per_token = _bytes_per_token(backbone, templates=len(contexts))
        recompute = bytes_per_token * (prompts.tokens + repeated * len(prompts.class_names)) > memory_budget
        if recompute:
            rows = memory_budget // bytes_per_token
            groups = [part for group in groups for part in group.split(max(1, rows // (group.shape[1] + repeated)))]
    parts: list[Tensor] = []
    for ends in groups:
        if recompute:
            features = checkpoint(text.finish, prefix, ends, use_reentrant=False, preserve_rng_state=False)
        else:
            features = text.finish(prefix, ends)
        parts.append(functional.normalize(features.float(), dim=-1))
    return torch.cat(parts, dim=1)[:, prompts.place]


def encode_templates(
    backbone: Backbone,
    contexts: Float[Tensor, "templates tokens dim"],
    class_names: Sequence[str],
    *,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
) -> Float[Tensor, "templates classes _"]:
    """Unit-length text features of M learnable templates for K class names, differentiable in `contexts`.

    Equal to the model's own full-length forward pass on every prompt; much faster (`benchmarks/text_encoding.py`).

    Args:
        backbone: from `cdc.load_backbone`.
        contexts: [M, d, width], the learnable context tokens of M templates.
        class_names: K names.
        memory_budget: bytes of activations that may be kept for the backward pass.

    Returns:
        [M, K, dim], float32.

    Raises:
        InputError: if a name is too long or the contexts' width is not the tower's.

    Example:
        >>> import cdc, torch
        >>> backbone = cdc.load_backbone("photo")
        >>> contexts = torch.randn(2, 4, backbone.text.width)
        >>> encode_templates(backbone, contexts, ["dog", "cat", "house"]).shape
        torch.Size([2, 3, 384])
    """
    prompts = tokenize_prompts(backbone, class_names, context_tokens=contexts.shape[1])
    return encode_prompts(backbone, contexts, prompts, memory_budget=memory_budget)


def initial_contexts(backbone: Backbone, phrases: Sequence[str]) -> Float[Tensor, "templates tokens dim"]:
    """Token embeddings of `phrases`, to start the templates from words.

    Raises:
        InputError: if there are no phrases, one is empty or too long, or they differ in their number of tokens.

    Example:
        >>> import cdc
        >>> initial_contexts(cdc.load_backbone("photo"), ["a photo of a", "a drawing of a"]).shape
        torch.Size([2, 4, 384])
    """
    text = backbone.text
    with_room = [f"{phrase} {PLACEHOLDER} {PLACEHOLDER}" for phrase in phrases]
    if not phrases or not all(fits(text.tokenizer, with_room, text.context_length)):
        raise InputError(
            f"initial phrases must be one or more and fit the {text.context_length} tokens of the text tower; "
            f"received {list(phrases)}. Pass phrases such as 'a photo of a'."
        )
    first = text.start_tokens
    counts = {phrase: count_tokens(text.tokenizer, phrase, text.context_length) - first for phrase in phrases}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise InputError(
            f"initial phrases must have the same number of tokens, at least one; received {counts}. Add or drop words."
        )
    ids = text.tokenize(phrases)
    return text.embed(ids[:, first : first + counts[phrases[0]]]).detach().float().clone()


def _check_contexts(backbone: Backbone, contexts: Tensor, prompts: Prompts) -> None:
    expected = (prompts.context_tokens, backbone.text.width)
    if contexts.ndim != 3 or contexts.shape[1:] != expected or len(contexts) == 0:
        raise InputError(
            f"contexts must have shape [templates, {expected[0]}, {expected[1]}] for this backbone and class list; "
            f"received {list(contexts.shape)}. Make them with initial_contexts(backbone, phrases)."
        )


def _layers(
    backbone: Backbone, contexts: Float[Tensor, "templates tokens dim"], deeper: Tensor | None
) -> Float[Tensor, "_ templates tokens dim"]:
    """Contexts of every prompted layer, on the tower's device."""
    contexts = contexts.to(backbone.device)[None]
    if deeper is None:
        return contexts
    text = backbone.require_deep_text()
    if deeper.ndim != 4 or deeper.shape[1:] != contexts.shape[1:] or len(deeper) >= text.layers:
        raise InputError(
            f"deep prompts must have shape [layers, {', '.join(map(str, contexts.shape[1:]))}] with fewer layers than "
            f"the {text.layers} of the text tower; received {list(deeper.shape)}. Lower the depth."
        )
    return torch.cat([contexts, deeper.to(contexts)])


def _bytes_per_token(backbone: Backbone, *, templates: int) -> int:
    """Bytes kept for the backward pass per token of a class, over all templates and layers."""
    size = DTYPES[backbone.precision].itemsize
    return templates * backbone.text.width * backbone.text.layers * FLOATS_PER_TOKEN_AND_LAYER * size


def _buckets(lengths: Int[Tensor, " classes"]) -> list[Int[Tensor, " _"]]:
    """Class indices grouped by length, longest first; a group too small takes in the next shorter ones."""
    order = lengths.argsort(descending=True, stable=True)
    _, sizes = lengths[order].unique_consecutive(return_counts=True)
    buckets: list[Tensor] = []
    for group in order.split(sizes.tolist()):
        if buckets and len(buckets[-1]) < SMALLEST_BUCKET:
            buckets[-1] = torch.cat([buckets[-1], group])
        else:
            buckets.append(group)
    return buckets
