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
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.loss import ClipLoss
from safetensors.torch import save
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv
from transformers import PreTrainedTokenizerFast

import cdc
from causalvlm.worlds.picto.captions import captions, vocabulary_texts
from causalvlm.worlds.picto.scm import PictoWorld

CONFIGURATION = {
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

START, END, PAD = "<|startoftext|>", "<|endoftext|>", "<|pad|>"


@dataclass(frozen=True)
class Settings:
    """What decides a run's result."""

    strength: float
    pictures: int
    batch: int
    learning_rate: float
    weight_decay: float
    seed: int

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.pictures // self.batch


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-pair encoding with the words of Picto's captions; the end-of-text token has the highest id, as CLIP's."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[^ -~]"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=[PAD, START], initial_alphabet=letters, end_of_word_suffix="</w>",
        show_progress=False,
    )  # fmt: skip
    # Every letter inside and at the end of a word, so that any text can be spelled.
    tokenizer.train_from_iterator([*vocabulary_texts() * 4, *letters, *(pair + pair for pair in letters)], trainer)
    tokenizer.add_special_tokens([END])
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD)


def prepare_folder(folder: Path) -> tuple[nn.Module, open_clip.tokenizer.HFTokenizer]:
    """An open_clip model folder with everything but weights, and what open_clip makes of it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    configuration = json.loads(json.dumps(CONFIGURATION))
    configuration["model_cfg"]["text_cfg"]["vocab_size"] = len(tokenizer)
    cdc.write_json(folder / "open_clip_config.json", configuration)
    model = open_clip.create_model(f"local-dir:{folder.resolve()}", load_weights=False)
    return model, open_clip.get_tokenizer(f"local-dir:{folder.resolve()}")


def batches(
    settings: Settings, first: int, tokenizer: open_clip.tokenizer.HFTokenizer, device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels and tokens of every step from `first` on; each step has a random stream of its own."""
    world = PictoWorld(regime="pretraining", strength=settings.strength)
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


def train(
    model: nn.Module, tokenizer: open_clip.tokenizer.HFTokenizer, settings: Settings, folder: Path, device: str
) -> dict:
    """Train in place, from the last checkpoint if there is one."""
    model.to(device).train()
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)
    loss_function = ClipLoss()
    state = {"step": 0, "seconds": 0.0, "losses": []}
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        if saved["settings"] != vars(settings):
            raise SystemExit(f"{checkpoint} must belong to the same settings; it has {saved['settings']}. Remove it.")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    began = time.perf_counter() - state["seconds"]
    recent: list[float] = []
    with cdc.image_bar("pre-training", total=settings.pictures) as advance:
        for step, (images, tokens) in enumerate(batches(settings, state["step"], tokenizer, device), state["step"]):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, settings)
            with torch.autocast(device, dtype=torch.bfloat16):
                image_features, text_features, scale = model(images, tokens)[:3]
            loss = loss_function(image_features.float(), text_features.float(), scale.float())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            recent.append(loss.item())
            for _ in range(settings.batch):
                advance()
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == settings.steps:
                state = {
                    "step": step + 1, "seconds": time.perf_counter() - began,
                    "losses": [*state["losses"], [step + 1, round(sum(recent) / len(recent), 4)]],
                }  # fmt: skip
                recent = []
                print(
                    f"step {step + 1}/{settings.steps} loss {state['losses'][-1][1]} {state['seconds']:.0f} s",
                    flush=True,
                )
                save_checkpoint(
                    checkpoint,
                    {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "state": state,
                        "settings": vars(settings),
                    },
                )
    return state


def save_checkpoint(path: Path, content: dict) -> None:
    """Write under a temporary name, then rename."""
    temporary = path.with_suffix(".partial")
    torch.save(content, temporary)
    temporary.replace(path)


def main() -> None:
    """Train, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--strength", type=float, default=0.9, help="confounding of the pictures, 0 to 1")
    parser.add_argument("--pictures", type=int, default=1_200_000, help="to train on")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    settings = Settings(
        arguments.strength, arguments.pictures, arguments.batch, arguments.learning_rate, arguments.weight_decay,
        arguments.seed,
    )  # fmt: skip
    torch.manual_seed(settings.seed)
    model, tokenizer = prepare_folder(arguments.out)
    state = train(model, tokenizer, settings, arguments.out, arguments.device)
    weights = {name: value.detach().half().cpu().contiguous() for name, value in model.state_dict().items()}
    cdc.write_bytes(arguments.out / "open_clip_model.safetensors", save(weights))
    record = {
        **vars(settings),
        "parameters": sum(p.numel() for p in model.parameters()),
        **state,
        "cores": os.cpu_count(),
        "device": arguments.device,
        "provenance": cdc.provenance(),
    }
    cdc.write_json(arguments.out / "training.json", record)


if __name__ == "__main__":
    main()
