"""Template features equal open_clip's own full-length forward pass, for every kind of text tower."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import cdc
from cdc.backbones.backbone import DTYPES
from cdc.prompts import text_encoding
from cdc.prompts.text_encoding import encode_prompts, encode_templates, initial_contexts, tokenize_prompts
from tests.cdc.conftest import KINDS

NAMES = ["dog", "ice_cream", "a long name of many a word", "boeing 737-800", "cat", "st. bernard's", "x"]
TEXT_KINDS = [kind for kind in KINDS if kind not in ("timm", "resnet")]  # these differ in the image tower alone
LOW_PRECISION = {"bf16": 5e-2, "fp16": 7e-3}
"""Greatest distance of a unit-length feature from that of open_clip's own pass in the same precision."""


@pytest.fixture(scope="module")
def backbones(model_folder: Callable[[str], Path]) -> Callable[..., cdc.Backbone]:
    """The backbone of a kind and precision, loaded once as a user would load it."""
    made: dict[tuple[str, str], cdc.Backbone] = {}

    def get(kind: str, precision: Any = "fp32") -> cdc.Backbone:
        if (kind, precision) not in made:
            made[kind, precision] = cdc.load_backbone(str(model_folder(kind)), precision=precision)
        return made[kind, precision]

    return get


def make_contexts(templates: int, tokens: int, *, width: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(templates * 100 + tokens)
    return torch.randn(templates, tokens, width, generator=generator).requires_grad_()


def slow_features(own: tuple[Any, Any], contexts: Tensor, names: Sequence[str], *, start: int) -> Tensor:
    """The slow obvious way: every prompt at full length, its context embeddings replaced as they leave the table."""
    model, tokenizer = own
    text = getattr(model, "text", model)
    table = text.token_embedding if hasattr(text, "token_embedding") else text.transformer.get_input_embeddings()
    tokens = contexts.shape[1]
    ids = tokenizer([f"{'X ' * tokens}{name.replace('_', ' ')}." for name in names])
    features = []
    for context in contexts:

        def replace(_module: Any, _inputs: Any, embeddings: Tensor, context: Tensor = context) -> Tensor:
            embeddings = embeddings.clone()
            embeddings[:, start : start + tokens] = context.to(embeddings.dtype)
            return embeddings

        hook = table.register_forward_hook(replace)
        features.append(model.encode_text(ids, normalize=True))
        hook.remove()
    return torch.stack(features).float()


def gradient(features: Tensor, contexts: Tensor) -> Tensor:
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    return torch.autograd.grad((features * weights).sum(), contexts)[0]


def assert_equal(fast: Tensor, slow: Tensor, contexts: Tensor) -> None:
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)
    fast_gradient, slow_gradient = gradient(fast, contexts), gradient(slow, contexts)
    assert slow_gradient.abs().max() > 1e-3
    assert (fast_gradient - slow_gradient).norm() <= 1e-4 * slow_gradient.norm()


@pytest.mark.parametrize("kind", TEXT_KINDS)
@pytest.mark.parametrize(("templates", "tokens"), [(3, 4), (1, 1), (2, 16)])
def test_features_and_gradients_equal_the_full_forward_pass(
    kind: str, templates: int, tokens: int, backbones: Callable[..., cdc.Backbone], own_model: Callable[..., Any]
) -> None:
    contexts = make_contexts(templates, tokens)
    slow = slow_features(own_model(kind), contexts, NAMES, start=KINDS[kind].start)
    # The test must be able to fail: features of other classes and other templates are far away.
    flat = slow.detach().flatten(0, 1)
    assert (torch.cdist(flat, flat) + torch.eye(len(flat))).min() > 3e-3
    assert_equal(encode_templates(backbones(kind), contexts, NAMES), slow, contexts)


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_one_class_and_one_template(
    kind: str, backbones: Callable[..., cdc.Backbone], own_model: Callable[..., Any]
) -> None:
    contexts = make_contexts(1, 2)
    slow = slow_features(own_model(kind), contexts, ["dog"], start=KINDS[kind].start)
    assert_equal(encode_templates(backbones(kind), contexts, ["dog"]), slow, contexts)


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_the_longest_name_that_fits_is_exact_and_one_token_more_is_refused(
    kind: str, backbones: Callable[..., cdc.Backbone], own_model: Callable[..., Any]
) -> None:
    backbone, contexts = backbones(kind), make_contexts(1, 4)
    room = backbone.text.context_length - KINDS[kind].start - 4 - KINDS[kind].extra
    longest, overlong = " ".join(["x"] * room), " ".join(["x"] * (room + 1))
    slow = slow_features(own_model(kind), contexts, [longest, "dog"], start=KINDS[kind].start)
    assert_equal(encode_templates(backbone, contexts, [longest, "dog"]), slow, contexts)
    with pytest.raises(
        cdc.InputError, match=rf"must fit the {backbone.text.context_length} tokens.*'{overlong}' after 4"
    ):
        encode_templates(backbone, contexts, ["dog", overlong])


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_recomputed_chunks_equal_the_plain_path(kind: str, backbones: Callable[..., cdc.Backbone]) -> None:
    backbone, contexts = backbones(kind), make_contexts(2, 3)
    plain = encode_templates(backbone, contexts, NAMES)
    chunked = encode_templates(backbone, contexts, NAMES, memory_budget=1)
    torch.testing.assert_close(chunked, plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient(chunked, contexts), gradient(plain, contexts), atol=1e-5, rtol=1e-4)


def test_a_small_budget_keeps_less_for_the_backward_pass(backbones: Callable[..., cdc.Backbone]) -> None:
    backbone, contexts = backbones("openai"), make_contexts(4, 4)
    names = [f"{first} {second}" for first in "abcdefgh" for second in "abcdefgh"]
    weights = {weight.data_ptr() for weight in backbone.text._text.parameters()}

    def kept(memory_budget: int) -> int:
        sizes: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in weights:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            features = encode_templates(backbone, contexts, names, memory_budget=memory_budget)
        assert features.requires_grad
        return sum(sizes.values())

    everything = kept(1 << 40)
    # What is said to be kept bounds what is kept, and is not far above it.
    prompts = tokenize_prompts(backbone, names, context_tokens=4)
    stated = text_encoding._bytes_per_token(backbone, templates=4) * int(prompts.lengths.sum())
    assert 0.5 * stated < everything < 1.1 * stated
    assert kept(everything // 8) < everything / 4


@pytest.mark.parametrize("kind", TEXT_KINDS)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_stays_close_to_open_clips_own(
    kind: str, precision: Any, backbones: Callable[..., cdc.Backbone], own_model: Callable[..., Any]
) -> None:
    contexts, start = make_contexts(2, 4), KINDS[kind].start
    model, tokenizer = own_model(kind)
    exact = slow_features((model, tokenizer), contexts, NAMES, start=start)
    slow = slow_features((model.to(DTYPES[precision]), tokenizer), contexts, NAMES, start=start)
    fast = encode_templates(backbones(kind, precision), contexts, NAMES)
    assert fast.dtype == torch.float32
    assert (fast - slow).norm(dim=-1).max() < LOW_PRECISION[precision]
    # It is as close to float32 as open_clip's own pass, and not because it runs in float32 itself.
    own_error, error = ((features - exact).norm(dim=-1).mean() for features in (slow, fast))
    assert own_error / 4 < error < 1.5 * own_error
    assert torch.isfinite(gradient(fast, contexts)).all()


def test_the_order_of_classes_is_kept(backbones: Callable[..., cdc.Backbone]) -> None:
    backbone, contexts = backbones("openai"), make_contexts(2, 4).detach()
    names = [" ".join("abcdefghij"[: 1 + index % 10]) for index in range(40)]
    together = encode_templates(backbone, contexts, names)
    alone = torch.cat([encode_templates(backbone, contexts, [name]) for name in names], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert (together[:, 0] - together[:, 1]).norm(dim=-1).min() > 1e-2


def test_arguments_and_random_state_are_left_alone(backbones: Callable[..., cdc.Backbone]) -> None:
    contexts = make_contexts(2, 4)
    before, names, state = contexts.detach().clone(), list(NAMES), torch.get_rng_state()
    encode_templates(backbones("openai"), contexts, names, memory_budget=1).sum().backward()
    assert torch.equal(contexts, before)
    assert names == NAMES
    assert torch.equal(torch.get_rng_state(), state)


def test_no_weight_gets_a_gradient(backbones: Callable[..., cdc.Backbone]) -> None:
    backbone = backbones("openai")
    encode_templates(backbone, make_contexts(1, 2), ["dog"]).sum().backward()
    assert all(weight.grad is None for weight in backbone.text._text.parameters())


def test_it_runs_under_autocast(backbones: Callable[..., cdc.Backbone]) -> None:
    backbone, contexts = backbones("openai"), make_contexts(2, 4)
    exact = encode_templates(backbone, contexts, NAMES)
    with torch.autocast("cpu", torch.bfloat16):
        features = encode_templates(backbone, contexts, NAMES)
    assert 0 < (features - exact).norm(dim=-1).max() < LOW_PRECISION["bf16"]


def test_buckets_hold_every_class_once_and_hardly_any_padding() -> None:
    lengths = torch.randint(3, 20, (500,), generator=torch.Generator().manual_seed(0))
    buckets = text_encoding._buckets(lengths)
    assert torch.cat(buckets).sort().values.tolist() == list(range(500))
    padded = sum(len(bucket) * int(lengths[bucket].max()) for bucket in buckets)
    assert padded < 1.02 * int(lengths.sum())
    assert all(len(bucket) >= text_encoding.SMALLEST_BUCKET for bucket in buckets[:-1])


class TestTokenizePrompts:
    def test_ends_hold_name_full_stop_and_end_token(self, backbones: Callable[..., cdc.Backbone]) -> None:
        prompts = tokenize_prompts(backbones("openai"), ["dog", "Polar_Bear"], context_tokens=4)
        dog, bear = open_clip.tokenize(["dog.", "polar bear."]).tolist()
        assert prompts.start.tolist() == dog[:1]
        assert prompts.ends[0, :3].tolist() == dog[1:4]
        assert prompts.ends[1, :4].tolist() == bear[1:5]
        assert prompts.lengths.tolist() == [3, 4]

    def test_case_and_underscores_do_not_matter(self, backbones: Callable[..., cdc.Backbone]) -> None:
        one, other = (
            tokenize_prompts(backbones("openai"), [name], context_tokens=4) for name in ("Polar_Bear", "polar  bear")
        )
        assert torch.equal(one.ends, other.ends)

    def test_the_context_does_not_change_the_name(self, backbones: Callable[..., cdc.Backbone]) -> None:
        for kind in TEXT_KINDS:
            one, sixteen = (tokenize_prompts(backbones(kind), NAMES, context_tokens=d) for d in (1, 16))
            length = int(one.lengths.max()) if kind not in ("siglip", "coca") else 20
            assert torch.equal(one.ends[:, :length], sixteen.ends[:, :length]), kind

    def test_a_tower_without_start_token(self, backbones: Callable[..., cdc.Backbone]) -> None:
        prompts = tokenize_prompts(backbones("mt5"), ["x"], context_tokens=2)
        assert len(prompts.start) == 0
        assert int(prompts.lengths) == 3

    @pytest.mark.parametrize("names", [[], "dog"])
    def test_class_names_must_be_a_list_with_a_name(
        self, names: Sequence[str], backbones: Callable[..., cdc.Backbone]
    ) -> None:
        with pytest.raises(cdc.InputError, match=rf"list of at least one name; received {names!r}".replace("[", r"\[")):
            tokenize_prompts(backbones("openai"), names, context_tokens=4)


class TestContexts:
    @pytest.mark.parametrize("shape", [(2, 3, 32), (2, 4, 31), (0, 4, 32)])
    def test_shapes_that_do_not_fit_are_refused(
        self, shape: tuple[int, ...], backbones: Callable[..., cdc.Backbone]
    ) -> None:
        prompts = tokenize_prompts(backbones("openai"), NAMES, context_tokens=4)
        with pytest.raises(cdc.InputError, match=rf"\[templates, 4, 32\].*received \[{', '.join(map(str, shape))}\]"):
            encode_prompts(backbones("openai"), torch.zeros(shape), prompts)

    @pytest.mark.parametrize("kind", TEXT_KINDS)
    def test_words_as_contexts_give_the_features_of_the_words(
        self, kind: str, backbones: Callable[..., cdc.Backbone]
    ) -> None:
        backbone = backbones(kind)
        contexts = initial_contexts(backbone, ["x y z", "a x a"])
        assert contexts.shape == (2, 3, 32)
        features = encode_templates(backbone, contexts, ["dog"])
        texts = backbone.encode_texts(["x y z dog.", "a x a dog."])
        torch.testing.assert_close(features[:, 0], texts, atol=1e-5, rtol=0)

    def test_the_placeholder_may_be_a_word(self, backbones: Callable[..., cdc.Backbone]) -> None:
        assert initial_contexts(backbones("openai"), ["X X X"]).shape == (1, 3, 32)

    def test_phrases_of_unequal_length_are_refused(self, backbones: Callable[..., cdc.Backbone]) -> None:
        with pytest.raises(cdc.InputError, match=r"same number of tokens.*{'a photo of': 3, 'a': 1}"):
            initial_contexts(backbones("openai"), ["a photo of", "a"])

    @pytest.mark.parametrize("phrases", [[], ["word " * 80], [""]])
    def test_no_phrase_and_phrases_without_place_are_refused(
        self, phrases: list[str], backbones: Callable[..., cdc.Backbone]
    ) -> None:
        with pytest.raises(cdc.InputError, match="initial phrases must"):
            initial_contexts(backbones("openai"), phrases)


def test_a_real_architecture(own_vit_b_32: tuple[Any, Any, cdc.Backbone]) -> None:
    model, tokenizer, backbone = own_vit_b_32
    contexts = (torch.randn(1, 4, 512, generator=torch.Generator().manual_seed(0)) * 0.02).requires_grad_()
    slow = slow_features((model, tokenizer), contexts, ["dog", "ice cream"], start=1)
    fast = encode_templates(backbone, contexts, ["dog", "ice cream"])
    assert functional.cosine_similarity(slow[0, 0], slow[0, 1], dim=0) < 0.999
    assert_equal(fast, slow, contexts)


@pytest.fixture(scope="module")
def own_vit_b_32() -> tuple[Any, Any, cdc.Backbone]:
    """ViT-B-32 with random weights, and open_clip's own model with the same ones."""
    backbone = cdc.load_backbone("ViT-B-32")
    model: Any = open_clip.create_model("ViT-B-32").eval().requires_grad_(False)
    model.load_state_dict(backbone.text._text.state_dict())
    return model, open_clip.get_tokenizer("ViT-B-32"), backbone
