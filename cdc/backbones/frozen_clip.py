"""open_clip's text towers as backbones: the one file that touches open_clip's internals. CLIP is never forked."""

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from open_clip.hf_model import HFTextEncoder, MaxPooler
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import TextTower
from cdc.backbones.masked_text import MaskedText
from cdc.backbones.tokens import Tokenizer, count_start_tokens
from cdc.errors import InputError


def text_tower(model: nn.Module, tokenizer: Any) -> TextTower:  # noqa: ANN401 - open_clip has three tokenizer classes
    """The fastest exact way to run `model`'s text tower on prompts with learnable tokens.

    Args:
        model: an open_clip model (`CLIP`, `CustomTextCLIP`, `CoCa`).
        tokenizer: its tokenizer, from texts to padded ids.

    Returns:
        `MaskedText` for transformers towers, `CausalText` for causal towers read at the end-of-text token,
        `WholeText` for all others (SigLIP attends to its padding, CoCa reads an appended token).

    Raises:
        InputError: if the tower pools by the maximum, which open_clip's own forward pass cannot do either.

    Example:
        >>> import open_clip
        >>> model = open_clip.create_model("RN50", pretrained_text=False)
        >>> type(text_tower(model, open_clip.get_tokenizer("RN50"))).__name__
        'CausalText'
    """
    text: Any = getattr(model, "text", model)
    if isinstance(text, HFTextEncoder):
        if isinstance(text.pooler, MaxPooler):
            raise InputError(
                "a text tower of transformers must be pooled by open_clip's mean_pooler, cls_pooler or "
                "cls_last_hidden_state_pooler; received max_pooler, which fails in open_clip itself. Use a model that "
                "was trained with another pooler."
            )
        config: Any = text.config
        return MaskedText(
            text.transformer,
            tokenizer,
            lambda output, mask: text.proj(text.pooler(output, mask)),
            pad_id=config.pad_token_id,
            context_length=tokenizer.context_length,
        )
    return CausalText(text, tokenizer) if _is_causal(text) else WholeText(text, tokenizer)


def give_embeddings_only(model: Any) -> None:  # noqa: ANN401 - open_clip has three kinds of model
    """Make both towers of a CoCa return the embedding alone, as those of all other models do, in place."""
    for tower in (model.visual, getattr(model, "text", model)):
        if getattr(tower, "output_tokens", False):
            tower.output_tokens = False


def _pool_type(text: Any) -> str:  # noqa: ANN401 - `CLIP` is its own text tower and has other names for the same
    return getattr(text, "pool_type", None) or getattr(text, "text_pool_type", "")


def _is_causal(text: Any) -> bool:  # noqa: ANN401
    return (
        getattr(text, "attn_mask", None) is not None
        and getattr(text, "cls_emb", None) is None
        and _pool_type(text) in ("argmax", "eos")
        and all(type(block) is ResidualAttentionBlock for block in text.transformer.resblocks)
    )


class _OpenClipText(TextTower):
    """What open_clip's own two kinds of text tower have in common."""

    def __init__(self, text: Any, tokenizer: Tokenizer) -> None:  # noqa: ANN401 - `CLIP` or `TextTransformer`
        self._text = text
        self.tokenizer = tokenizer
        self.width = text.token_embedding.embedding_dim
        self.layers = len(text.transformer.resblocks)
        self.context_length = text.context_length
        self.start_tokens = count_start_tokens(tokenizer)

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "classes tokens"]:
        """Token ids of `texts`, padded to the context length."""
        return self.tokenizer(list(texts), self.context_length).to(self._text.token_embedding.weight.device)

    def embed(self, ids: Int[Tensor, "*_ tokens"]) -> Float[Tensor, "*_ tokens dim"]:
        """Token embeddings, before positions are added."""
        return self._text.token_embedding(ids)

    def encode(self, ids: Int[Tensor, "classes tokens"]) -> Float[Tensor, "classes dim"]:
        """Features of plain prompts: open_clip's own forward pass."""
        return self._text.encode_text(ids) if hasattr(self._text, "encode_text") else self._text(ids)


@final
class CausalText(_OpenClipText):
    """A causal text tower read at the end-of-text token.

    Positions after the end-of-text token never matter, and the states of start token and context are the same for
    every class at every layer: keys and values of the shared prefix are computed once per template. Both are exact,
    gradients included.
    """

    shares_prefix = True

    def lengths(self, ids: Int[Tensor, "classes tokens"]) -> Int[Tensor, " classes"]:
        """Tokens up to and including the end-of-text token."""
        return self._end(ids) + 1

    def _end(self, ids: Int[Tensor, "classes tokens"]) -> Int[Tensor, " classes"]:
        if _pool_type(self._text) == "argmax":
            return ids.argmax(-1)
        end_id = self._text.text_eos_id if hasattr(self._text, "text_eos_id") else self._text.eos_id
        return (ids == end_id).int().argmax(-1)

    def _positions(self, first: int, last: int) -> Float[Tensor, "tokens dim"]:
        return self._text.positional_embedding[first:last].to(self._text.transformer.get_cast_dtype())

    def share_prefix(
        self, contexts: Float[Tensor, "_ templates tokens dim"], start: Int[Tensor, " _"]
    ) -> tuple[Tensor, ...]:
        """Keys and values of start tokens and context at every layer: 2 x layers of [templates, heads, tokens, _]."""
        context, *deeper = contexts.to(self._text.transformer.get_cast_dtype())
        opening = self.embed(start).to(context.dtype).expand(len(context), -1, -1)
        states = torch.cat([opening, context], dim=1)
        states = states + self._positions(0, states.shape[1])
        shared: list[Tensor] = []
        for layer, block in enumerate(self._text.transformer.resblocks):
            if 0 < layer <= len(deeper):
                states = torch.cat([states[:, : len(start)], deeper[layer - 1]], dim=1)
            query, key, value = _heads(block, states)
            shared += [key, value]
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            states = _finish_block(block, states, attended)
        return tuple(shared)

    def finish(
        self, prefix: tuple[Tensor, ...], ends: Int[Tensor, "classes tokens"]
    ) -> Float[Tensor, "templates classes dim"]:
        """Run only what follows the context, attending to the shared keys and values.

        States are [templates, classes, tokens, dim], with a single template before the first layer, where a class's
        end does not depend on the template yet. In the last layer only the end-of-text token is run.
        """
        offset, tokens = prefix[0].shape[-2], ends.shape[1]
        states = self.embed(ends)[None]
        states = states.to(self._text.transformer.get_cast_dtype()) + self._positions(offset, offset + tokens)
        places = torch.arange(tokens, device=ends.device)
        visible = places <= places[:, None]
        *blocks, last_block = zip(self._text.transformer.resblocks, prefix[::2], prefix[1::2], strict=True)
        for block, shared_key, shared_value in blocks:
            query, key, value = _heads(block, states)
            attended = _attend(query, (key, value), (shared_key, shared_value), visible)
            states = _finish_block(block, states, attended)
        block, shared_key, shared_value = last_block
        query, key, value = _heads(block, states)
        end = self._end(ends)[None, :, None, None]
        query = query.take_along_dim(end[..., None], dim=-2)
        visible = places <= end[..., None]
        attended = _attend(query, (key, value), (shared_key, shared_value), visible)
        states = _finish_block(block, states.take_along_dim(end, dim=-2), attended)
        return self._project(self._text.ln_final(states[:, :, 0]))

    def _project(self, states: Tensor) -> Tensor:
        projection = self._text.text_projection
        if projection is None:
            return states
        return projection(states) if isinstance(projection, nn.Linear) else states @ projection


@final
class WholeText(_OpenClipText):
    """Any other tower: open_clip's own forward pass at full length, with the context spliced into the embeddings.

    SigLIP's tower attends to its padding and reads the last position, so it allows neither cut.
    """

    shares_prefix = False

    def lengths(self, ids: Int[Tensor, "classes tokens"]) -> Int[Tensor, " classes"]:
        """All tokens matter."""
        return torch.full((len(ids),), ids.shape[1], device=ids.device)

    def share_prefix(
        self, contexts: Float[Tensor, "_ templates tokens dim"], start: Int[Tensor, " _"]
    ) -> tuple[Tensor, ...]:
        """Start ids and context embeddings, to be spliced in."""
        (context,) = contexts
        return start, context

    def finish(
        self, prefix: tuple[Tensor, ...], ends: Int[Tensor, "classes tokens"]
    ) -> Float[Tensor, "templates classes dim"]:
        """open_clip's forward pass on full-length prompts whose context embeddings are replaced."""
        start, contexts = prefix
        templates, tokens, _ = contexts.shape
        classes, first = len(ends), len(start)
        # Any id but a special one may stand where the context goes: its embedding is replaced.
        filler = ends[:1, :1].expand(classes, tokens)
        ids = torch.cat([start.expand(classes, -1), filler, ends], dim=1).repeat(templates, 1)
        spliced = contexts.repeat_interleave(classes, dim=0)

        def splice(_module: nn.Module, _inputs: object, embeddings: Tensor) -> Tensor:
            parts = [embeddings[:, :first], spliced.to(embeddings.dtype), embeddings[:, first + tokens :]]
            return torch.cat(parts, dim=1)

        hook = self._text.token_embedding.register_forward_hook(splice)
        try:
            features = self.encode(ids)
        finally:
            hook.remove()
        return features.unflatten(0, (templates, classes))


def _heads(
    block: ResidualAttentionBlock, states: Float[Tensor, "*_ tokens dim"]
) -> tuple[Float[Tensor, "*_ tokens _"], ...]:
    """Queries, keys and values of a block, each [..., heads, tokens, _]."""
    attention = block.attn
    joint = functional.linear(block.ln_1(states), attention.in_proj_weight, attention.in_proj_bias)
    split = joint.unflatten(-1, (3, attention.num_heads, -1))
    return tuple(part.transpose(-3, -2) for part in split.unbind(-3))


def _finish_block(
    block: ResidualAttentionBlock, states: Float[Tensor, "*_ tokens dim"], attended: Float[Tensor, "*_ tokens _"]
) -> Float[Tensor, "*_ tokens dim"]:
    """Output projection and MLP, each with its residual."""
    mixed = attended.transpose(-3, -2).flatten(-2)
    states = states + block.ls_1(block.attn.out_proj(mixed))
    return states + block.ls_2(block.mlp(block.ln_2(states)))


def _attend(
    query: Float[Tensor, "_ classes _ _ _"],
    own: tuple[Tensor, Tensor],
    shared: tuple[Tensor, Tensor],
    visible: Bool[Tensor, "*_ tokens"],
) -> Float[Tensor, "templates classes _ _ _"]:
    """Attention of each prompt's end to itself and to its template's shared prefix, without copying that per class.

    Args:
        query: [templates or 1, classes, heads, tokens, _].
        own: keys and values of the ends, each [templates or 1, classes, heads, _, _].
        shared: keys and values of the prefix, each [templates, heads, _, _].
        visible: true where an end's query may look at an end's key; the prefix is seen by all.
    """
    key, value = own
    shared_key, shared_value = shared
    query = query * query.shape[-1] ** -0.5
    to_shared = torch.einsum("mkhtd,mhpd->mkhtp", query, shared_key)
    to_own = (query @ key.mT).masked_fill(~visible, float("-inf")).expand(len(shared_key), *[-1] * 4)
    weights = torch.cat([to_shared, to_own], dim=-1).softmax(dim=-1)
    on_shared, on_own = weights.split([to_shared.shape[-1], to_own.shape[-1]], dim=-1)
    return torch.einsum("mkhtp,mhpd->mkhtd", on_shared, shared_value) + on_own @ value
