"""Pre-train a small CLIP on Picto's pre-training data: the bundled model, and its twin without confounding.

    python analyses/pretrain_picto.py --out out/picto                            the bundled model
    python analyses/pretrain_picto.py --out out/picto-unconfounded --strength 0  its twin
    python analyses/pretrain_picto.py --out out/smoke --pictures 2048            seconds: does it run?

Pictures and captions are drawn and rendered as training goes; none is seen twice. A run that was stopped goes on where
it was when the same command is given again; the result is the same as if it had not been stopped (on a CPU, bit for
bit). Writes into --out an open_clip model folder (configuration, tokenizer, weights in half precision) and
training.json with the losses, the hours and the machine.
"""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from jaxtyping import Float, Int
from open_clip.loss import ClipLoss
from safetensors.torch import save
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv
from transformers import PreTrainedTokenizerFast

import cdc
from causalvlm.errors import InputError
from causalvlm.worlds.picto.captions import captions, vocabulary_texts
from causalvlm.worlds.picto.scm import PictoWorld
from cdc.files import write_bytes, write_json
from cdc.progress import image_bar

CONFIGURATION: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 192,
        "vision_cfg": {"image_size": 60, "patch_size": 12, "layers": 4, "width": 192, "head_width": 48},
        "text_cfg": {
            "context_length": 24, "vocab_size": 0, "width": 128, "heads": 4, "layers": 3, "pad_id": 0,
            "hf_tokenizer_name": "picto",
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}  # fmt: skip
"""open_clip's own configuration format; the vocabulary's size is filled in when the tokenizer is made."""

WORDS = 4000
"""Entries of the vocabulary: nearly every word of a caption is one, and any other text is spelled."""

CHECKPOINT_EVERY = 100
"""Steps between two checkpoints."""

CHECKPOINT = "checkpoint.pt"
"""Its file name in the model folder."""

START, END, PAD = "<|startoftext|>", "<|endoftext|>", "<|pad|>"

_NORMALIZER = normalizers.Sequence(
    [
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r"[^ -~]"), " "),
    ]
)
_PRE_TOKENIZER = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])

Tokenize = Callable[[list[str]], Tensor]
"""From texts to padded ids."""


@dataclass(frozen=True)
class Settings:
    """What decides a run's result.

    Attributes:
        strength: of the confounding, 0 to 1.
        pictures: to train on; what is left of the last batch is dropped.
        batch: pictures in a step.
        learning_rate: peak.
        weight_decay: of AdamW, on matrices only.
        seed: of the first weights and of all pictures and captions.

    Raises:
        InputError: if the strength is outside 0 to 1, or the pictures are less than one batch.
    """

    strength: float
    pictures: int
    batch: int
    learning_rate: float
    weight_decay: float
    seed: int

    def __post_init__(self) -> None:
        self.world()
        if not 1 <= self.batch <= self.pictures:
            raise InputError(
                f"pictures must be at least one batch; received {self.pictures} pictures in batches of {self.batch}. "
                "Pass more --pictures or a smaller --batch."
            )

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.pictures // self.batch

    def world(self) -> PictoWorld:
        """Where the pictures come from."""
        return PictoWorld(regime="pretraining", strength=self.strength)


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: finished steps.
        seconds: that they took, over all stops.
        losses: for every checkpoint its step and the mean loss since the checkpoint before.
    """

    step: int
    seconds: float
    losses: list[list[float]]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-pair encoding with the words of Picto's captions; the end-of-text token has the highest id, as CLIP's."""
    tokenizer = Tokenizer(_byte_pairs())
    tokenizer.normalizer, tokenizer.pre_tokenizer = _NORMALIZER, _PRE_TOKENIZER
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    tokenizer.add_special_tokens([PAD, START, END])
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD)


def _byte_pairs() -> models.BPE:
    """The vocabulary: padding, start of text, every letter inside and at the end of a word, then pairs by frequency.

    Letters are given to the trainer as special tokens, which keep their order: it numbers what it finds by itself in
    the order of a hash table, another one in every process, and breaks ties by these numbers.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.normalizer, tokenizer.pre_tokenizer = _NORMALIZER, _PRE_TOKENIZER
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    first = [PAD, START, *letters, *(f"{letter}</w>" for letter in letters)]
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=first, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator([*vocabulary_texts() * 4, *letters, *(pair + pair for pair in letters)], trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    merges = [(left, right) for left, right in learned["merges"]]
    return models.BPE(learned["vocab"], merges, end_of_word_suffix="</w>", fuse_unk=False)


def prepare_folder(folder: Path) -> tuple[nn.Module, Tokenize]:
    """An open_clip model folder with everything but weights, and what open_clip makes of it.

    A run that goes on keeps the tokenizer that it began with.
    """
    if not (folder / CHECKPOINT).exists():
        tokenizer = make_tokenizer()
        configuration = copy.deepcopy(CONFIGURATION)
        configuration["model_cfg"]["text_cfg"]["vocab_size"] = len(tokenizer)
        write_json(folder / "open_clip_config.json", configuration)
        tokenizer.save_pretrained(folder)
    model = open_clip.create_model(f"local-dir:{folder.resolve()}", load_weights=False)
    return model, open_clip.get_tokenizer(f"local-dir:{folder.resolve()}")


def batches(
    settings: Settings, first: int, tokenizer: Tokenize, device: str
) -> Iterator[tuple[Float[Tensor, "batch 3 _ _"], Int[Tensor, "batch tokens"]]]:
    """Pixels and tokens of every step from `first` on; each step has a random stream of its own."""
    world = settings.world()
    side = CONFIGURATION["model_cfg"]["vision_cfg"]["image_size"]
    preprocessing = CONFIGURATION["preprocess_cfg"]
    for step in range(first, settings.steps):
        rng = np.random.default_rng([settings.seed, step])
        sample = world.sample(settings.batch, rng=rng)
        pixels = sample.render(size=side, device=device)
        images = tv.normalize(pixels.float() / 255, preprocessing["mean"], preprocessing["std"])
        yield images, tokenizer(captions(sample, rng=rng)).to(device)


def rate_at(step: int, settings: Settings) -> float:
    """Learning rate: linear warm-up over a twentieth of the steps, then a cosine to zero."""
    warm = max(1, settings.steps // 20)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, settings.steps - warm)))


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices alone."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)


def train_step(
    model: Any,  # noqa: ANN401 - an open_clip model
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "batch 3 _ _"],
    tokens: Int[Tensor, "batch tokens"],
) -> float:
    """One step with CLIP's contrastive loss (Radford et al., ICML 2021), in place; returns the loss, in nats."""
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        image_features, text_features, scale = model(images, tokens)[:3]
    loss = ClipLoss()(image_features.float(), text_features.float(), scale.float())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))
    return loss.item()


def train(model: nn.Module, tokenizer: Tokenize, settings: Settings, folder: Path, device: str) -> Progress:
    """Train in place, from the last checkpoint if there is one."""
    model.to(device).train()
    optimizer = make_optimizer(model, settings)
    checkpoint = folder / CHECKPOINT
    progress = resume(checkpoint, model, optimizer, settings, device)
    began = time.perf_counter() - progress.seconds
    recent: list[float] = []
    with image_bar("pre-training", total=settings.pictures) as advance:
        for step, (images, tokens) in enumerate(batches(settings, progress.step, tokenizer, device), progress.step):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, settings)
            recent.append(train_step(model, optimizer, images, tokens))
            for _ in range(settings.batch):
                advance()
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == settings.steps:
                loss = round(sum(recent) / len(recent), 4)
                recent = []
                progress = Progress(step + 1, time.perf_counter() - began, [*progress.losses, [step + 1, loss]])
                print(f"step {step + 1}/{settings.steps} loss {loss} {progress.seconds:.0f} s", flush=True)
                save_checkpoint(checkpoint, model, optimizer, settings, progress)
    return progress


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, progress: Progress
) -> None:
    """Write all that a stopped run needs, under a temporary name that is then renamed."""
    temporary = path.with_suffix(".partial")
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**content, "state": asdict(progress), "settings": asdict(settings)}, temporary)
    temporary.replace(path)


def resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, device: str) -> Progress:
    """Load a checkpoint into model and optimizer, in place, and say how far it is; without one, the beginning.

    Raises:
        InputError: if the checkpoint belongs to other settings.
    """
    if not path.exists():
        return Progress(0, 0.0, [])
    saved = torch.load(path, map_location=device, weights_only=True)
    if saved["settings"] != asdict(settings):
        raise InputError(
            f"{path} must belong to the same settings; it has {saved['settings']}, received {asdict(settings)}. "
            "Pass its settings to go on with it, or another --out, or remove it to begin anew."
        )
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return Progress(**saved["state"])


def run(settings: Settings, folder: Path, device: str) -> None:
    """Train, and write the model folder."""
    torch.manual_seed(settings.seed)
    model, tokenizer = prepare_folder(folder)
    progress = train(model, tokenizer, settings, folder, device)
    weights = {name: value.detach().half().cpu().contiguous() for name, value in model.state_dict().items()}
    write_bytes(folder / "open_clip_model.safetensors", save(weights))
    record = {
        **asdict(settings),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **asdict(progress),
        "cores": os.cpu_count(),
        "device": device,
        "provenance": cdc.provenance(device),
    }
    write_json(folder / "training.json", record)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run; a mistake in it is one line and exit 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--strength", type=float, default=0.9, help="confounding of the pictures, 0 to 1")
    parser.add_argument("--pictures", type=int, default=1_200_000, help="to train on")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = vars(parser.parse_args(arguments))
    folder, device = given.pop("out"), given.pop("device")
    try:
        run(Settings(**given), folder, device)
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
