"""What is found out about tokenizers, on tokenizers made for the purpose."""

import pytest
import torch
from torch import Tensor

import cdc
from cdc.backbones.tokens import count_start_tokens, count_tokens, fits


def words(texts: list[str], context_length: int, *, start: list[int], end: list[int], pad: int, split: bool) -> Tensor:
    """A tokenizer of whole words, or of their letters."""
    rows = []
    for text in texts:
        pieces = list(text.replace(" ", "_")) if split else text.split()
        ids = [*start, *(100 + sum(map(ord, piece)) for piece in pieces)]
        ids = [*ids[: context_length - len(end)], *end]
        rows.append(ids + [pad] * (context_length - len(ids)))
    return torch.tensor(rows)


def make(start: list[int], end: list[int], pad: int, *, split: bool = False):
    return lambda texts, context_length: words(texts, context_length, start=start, end=end, pad=pad, split=split)


TOKENIZERS = {
    "start and end": make([1], [2], 0),
    "two starts": make([1, 3], [2], 0),
    "no start": make([], [2], 0),
    "end is padding": make([], [2], 2),
    "no end": make([1], [], 0),
    "neither": make([], [], 0),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_start_tokens_are_counted(kind: str) -> None:
    expected = {"two starts": 2, "no start": 0, "end is padding": 0, "neither": 0}.get(kind, 1)
    assert count_start_tokens(TOKENIZERS[kind]) == expected


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("length", range(1, 6))
def test_a_text_fits_to_the_last_token(kind: str, length: int) -> None:
    tokenizer = TOKENIZERS[kind]
    specials = {"two starts": 3, "start and end": 2, "neither": 0}.get(kind, 1)
    texts = [" ".join(["dog"] * length), "dog", "dog cat " * 9]
    assert fits(tokenizer, texts, length + specials) == [True, True, False]
    assert fits(tokenizer, texts, length + specials - 1)[0] is False


def test_tokens_are_counted_behind_the_start() -> None:
    assert count_tokens(TOKENIZERS["two starts"], "a photo of a", 20) == 6
    assert count_tokens(TOKENIZERS["neither"], "X X", 20) == 2


def test_a_placeholder_of_several_tokens_is_refused() -> None:
    with pytest.raises(cdc.InputError, match=r"the word 'X'.*into one token; received"):
        count_start_tokens(make([1], [2], 0, split=True))
