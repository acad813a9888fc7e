"""Bidirectional text towers of transformers (BERT, RoBERTa, T5 encoders): padding is masked, so it can be cut."""

from collections.abc import Callable, Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cdc.backbones.backbone import TextTower
from cdc.backbones.tokens import Tokenizer, count_start_tokens

Head = Callable[[object, Int[Tensor, "rows tokens"]], Tensor]
"""From the transformer's output and the attention mask to features (pooling and projection)."""


@final
class MaskedText(TextTower):
    """A text tower whose attention mask hides padding: truncation to the longest prompt is exact.

    Every token attends to every other, so the context's states depend on the class name and no prefix is shared.

    Args:
        transformer: a transformers model that takes ``inputs_embeds`` and ``attention_mask``.
        tokenizer: from texts to padded ids.
        head: pooling and projection.
        pad_id: id of the padding token.
        context_length: most tokens in a prompt.
    """

    shares_prefix = False

    def __init__(
        self,
        transformer: nn.Module,
        tokenizer: Tokenizer,
        head: Head,
        *,
        pad_id: int,
        context_length: int,
    ) -> None:
        self._transformer = transformer
        self.tokenizer = tokenizer
        self._head = head
        self._pad_id = pad_id
        self._embeddings: nn.Embedding = transformer.get_input_embeddings()  # pyright: ignore[reportCallIssue]
        self.width = self._embeddings.embedding_dim
        self.layers: int = transformer.config.num_hidden_layers  # pyright: ignore[reportAttributeAccessIssue]
        self.context_length = context_length
        self.start_tokens = count_start_tokens(tokenizer)

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "classes tokens"]:
        """Token ids of `texts`, padded to the longest."""
        ids = self.tokenizer(list(texts), self.context_length).to(self._embeddings.weight.device)
        return ids[:, : int(self.lengths(ids).max())]

    def lengths(self, ids: Int[Tensor, "classes tokens"]) -> Int[Tensor, " classes"]:
        """Number of tokens up to the last one that is not padding."""
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        return (places * (ids != self._pad_id)).amax(-1)

    def embed(self, ids: Int[Tensor, "*_ tokens"]) -> Float[Tensor, "*_ tokens dim"]:
        """Word embeddings; positions and token types are added by the transformer itself."""
        return self._embeddings(ids)

    def share_prefix(
        self, contexts: Float[Tensor, "_ templates tokens dim"], start: Int[Tensor, " _"]
    ) -> tuple[Tensor, ...]:
        """The embeddings of start tokens and context: in a bidirectional tower nothing deeper is shared."""
        (context,) = contexts
        opening = self.embed(start).expand(len(context), -1, -1)
        return (torch.cat([opening, context.to(opening.dtype)], dim=1),)

    def finish(
        self, prefix: tuple[Tensor, ...], ends: Int[Tensor, "classes tokens"]
    ) -> Float[Tensor, "templates classes dim"]:
        """Run every (template, class) prompt through the transformer, padding masked."""
        (opening,) = prefix
        templates, classes = len(opening), len(ends)
        shared = opening[:, None].expand(-1, classes, -1, -1)
        endings = self.embed(ends)[None].expand(templates, -1, -1, -1)
        embeddings = torch.cat([shared, endings], dim=2).flatten(0, 1)
        mask = (ends != self._pad_id).long()
        mask = torch.cat([mask.new_ones(classes, opening.shape[1]), mask], dim=1).repeat(templates, 1)
        return self._run(mask, inputs_embeds=embeddings).unflatten(0, (templates, classes))

    def encode(self, ids: Int[Tensor, "classes tokens"]) -> Float[Tensor, "classes dim"]:
        """Features of plain prompts from their ids."""
        return self._run((ids != self._pad_id).long(), input_ids=ids)

    def _run(self, mask: Int[Tensor, "rows tokens"], **inputs: Tensor) -> Float[Tensor, "rows dim"]:
        # As what is added to the attention scores: given a mask of ones and zeros, transformers asks whether there is
        # any padding, and a GPU has to come to rest to tell.
        dtype = self._embeddings.weight.dtype
        padding = (1 - mask[:, None, None]).to(dtype) * torch.finfo(dtype).min
        return self._head(self._transformer(attention_mask=padding, **inputs), mask)
