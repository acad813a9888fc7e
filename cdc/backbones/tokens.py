"""What every tokenizer here has in common, found out by asking it: where words start, and which texts were cut."""

from collections.abc import Callable, Sequence

from torch import Tensor

from cdc.errors import InputError

PLACEHOLDER = "X"
"""The word that stands in a prompt where a context token goes (Zhou et al., CoOp, IJCV 2022)."""


Tokenizer = Callable[[list[str], int], Tensor]
"""From texts and a context length to ids, padded on the right to that length and cut there without a word."""


def count_start_tokens(tokenizer: Tokenizer) -> int:
    """Number of special tokens before the first word: 1 for CLIP and BERT, 0 for SigLIP and T5.

    Raises:
        InputError: if the placeholder is not one token, so that a context could not take its place.

    Example:
        >>> import open_clip
        >>> count_start_tokens(open_clip.get_tokenizer("ViT-B-16"))
        1
    """
    start = _first_difference(tokenizer, "", PLACEHOLDER, 16)
    if count_tokens(tokenizer, PLACEHOLDER, 16) != start + 1:
        raise InputError(
            f"the tokenizer must turn the word {PLACEHOLDER!r}, which holds the place of a context token, into one "
            f"token; received {tokenizer([PLACEHOLDER], 8)[0].tolist()}. Use a backbone with another tokenizer."
        )
    return start


def count_tokens(tokenizer: Tokenizer, text: str, context_length: int) -> int:
    """Number of start tokens and tokens of `text`, found by what a placeholder behind it moves.

    Example:
        >>> import open_clip
        >>> count_tokens(open_clip.get_tokenizer("ViT-B-16"), "a photo of a", 77)
        5
    """
    return (
        _first_difference(tokenizer, f"{text} {PLACEHOLDER}", f"{text} {PLACEHOLDER} {PLACEHOLDER}", context_length) - 1
    )


def _first_difference(tokenizer: Tokenizer, one: str, other: str, context_length: int) -> int:
    first, second = tokenizer([one, other], context_length)
    return int((first != second).int().argmax())


def fits(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> list[bool]:
    """Whether each of `texts` fits `context_length` tokens; a longer one would be cut.

    With one more place a text that fits stays as it is, and the new place stays as empty as that of an empty text. This
    holds whether a tokenizer ends a cut text with its end token or not, and whether that differs from its padding.

    Example:
        >>> import open_clip
        >>> fits(open_clip.get_tokenizer("ViT-B-16"), ["a dog", "a very long dog"], 4)
        [True, False]
    """
    ids = tokenizer(list(texts), context_length)
    wider = tokenizer([*texts, ""], context_length + 1)
    same = (wider[:-1, :-1] == ids).all(dim=1)
    still_empty = wider[:-1, -1] == wider[-1, -1]
    return (same & still_empty).tolist()
