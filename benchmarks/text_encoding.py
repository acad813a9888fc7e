"""Speed and memory of `encode_prompts` against the usual way of prompt learners, side by side in one run.

The usual way runs every class of every template through open_clip's own text transformer at 77 tokens, forward and
backward, at every training step. Ours stops at the end token and computes start token and context once per template.
Both are given tokenised names and the same weights, contexts and loss; features and gradients are compared in the run.

Run:    make bench, or .venv/bin/python benchmarks/text_encoding.py (--smoke: seconds, writes nothing)
Takes:  about 10 minutes on 2 quiet CPU cores, of which ours is one; 8 GB of memory
Expect: ratio of time at least 12 for DTD and 10 for ImageNet, ratio of memory at least 6

How each number is got:
* seconds: wall time of forward and backward, the two ways in alternation; the ratio is that of the medians. All
  activations of the usual way for 2,000 prompts would take some 40 GB, so it runs in chunks of 96 prompts, forward and
  backward each, which costs it nothing: a favour to it, since as written it would not run at all on this machine.
* bytes saved: what autograd keeps for the backward pass, counted by its hooks over distinct storages, weights left
  out. The usual way's prompts all cost the same, so one chunk is counted and scaled to all prompts.
* peak: growth of the resident memory of a fresh process at its highest during one step, for DTD and for a part of
  ImageNet that fits either way.
"""

import argparse
import gc
import json
import logging
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

import cdc
from cdc.backbones.backbone import DTYPES, Precision
from cdc.files import write_json
from cdc.prompts.text_encoding import encode_prompts, tokenize_prompts

RESULT = Path(__file__).parent / "results" / "text_encoding.json"
ARCHITECTURE, TEMPLATES, TOKENS, THREADS = "ViT-B-16", 4, 4, 2
CHUNK = 96
REPETITIONS = {"dtd": 5, "imagenet": 2}
GOALS = {"dtd": {"time": 12.0, "memory": 6.0}, "imagenet": {"time": 10.0, "memory": 6.0}}
DTD_BASE = """banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline dotted fibrous
flecked freckled frilly gauzy grid grooved honeycombed interlaced knitted lacelike lined marbled"""
"""The first 24 of the 47 classes of the Describable Textures Dataset in sorted order."""
CASES: dict[str, Sequence[str]] = {"dtd": DTD_BASE.split(), "imagenet": open_clip.IMAGENET_CLASSNAMES[:500]}

Step = Callable[[], tuple[Tensor, Tensor]]
"""One forward and backward pass, from nothing to features and the gradient of the contexts."""


def prepare(
    names: Sequence[str],
    *,
    chunk: int,
    architecture: str = ARCHITECTURE,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> tuple[Step, Step]:
    """The usual way's step and ours, on the same weights, contexts and loss."""
    logging.disable(logging.WARNING)  # that the weights are random is known
    backbone = cdc.load_backbone(architecture, None, device, precision)
    torch.manual_seed(0)  # the seed of `load_backbone`: the same random weights
    model: Any = open_clip.create_model(architecture).eval().requires_grad_(False)
    model.to(device, DTYPES[precision])
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(TEMPLATES, TOKENS, backbone.text.width, generator=generator).to(device) * 0.02
    weights = torch.randn(TEMPLATES, len(names), backbone.dim, generator=generator).to(device)
    texts = [f"{'X ' * TOKENS}{name.replace('_', ' ')}." for name in names]
    ids = open_clip.get_tokenizer(architecture)(texts).to(device)
    prompts = tokenize_prompts(backbone, names, context_tokens=TOKENS)

    def usual() -> tuple[Tensor, Tensor]:
        contexts = start.clone().requires_grad_()
        pairs = torch.cartesian_prod(torch.arange(TEMPLATES), torch.arange(len(names))).to(device)
        features = []
        for part_of_pairs in pairs.split(chunk):
            template, label = part_of_pairs.unbind(1)
            part = full_forward(model, ids[label], contexts[template])
            (part * weights[template, label]).sum().backward()
            features.append(part.detach())
        return torch.cat(features).unflatten(0, (TEMPLATES, -1)), gradient_of(contexts)

    def ours() -> tuple[Tensor, Tensor]:
        contexts = start.clone().requires_grad_()
        features = encode_prompts(backbone, contexts, prompts)
        (features * weights).sum().backward()
        return features.detach(), gradient_of(contexts)

    return usual, ours


def full_forward(model: Any, ids: Tensor, contexts: Tensor) -> Tensor:  # noqa: ANN401
    """Unit-length features as prompt learners compute them: 77 tokens through open_clip's own transformer."""
    embeddings = model.token_embedding(ids)
    embeddings = torch.cat([embeddings[:, :1], contexts.to(embeddings), embeddings[:, 1 + TOKENS :]], dim=1)
    states = model.transformer(embeddings + model.positional_embedding, attn_mask=model.attn_mask)
    states = model.ln_final(states)
    pooled = states[torch.arange(len(ids), device=ids.device), ids.argmax(dim=-1)]
    return functional.normalize((pooled @ model.text_projection).float(), dim=-1)


def gradient_of(contexts: Tensor) -> Tensor:
    """The gradient that a backward pass left in `contexts`."""
    if contexts.grad is None:
        raise RuntimeError("no gradient reached the contexts")
    return contexts.grad


def saved_bytes(step: Step) -> int:
    """Bytes of all distinct storages that autograd keeps for the backward passes of a step, weights left out."""
    kept: dict[int, Tensor] = {  # the weights themselves, which are there in any case
        value.untyped_storage().data_ptr(): value
        for value in gc.get_objects()
        if type(value) is torch.nn.Parameter  # `isinstance` would wake up objects that warn
    }
    weights = set(kept)

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(value.untyped_storage().nbytes() for key, value in kept.items() if key not in weights)


def peak_bytes(way: Literal["usual", "ours"], names: Sequence[str]) -> int:
    """Growth of a fresh process's resident memory at its highest during one step; no chunks."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (way, names))


def _peak_here(way: Literal["usual", "ours"], names: Sequence[str]) -> int:
    torch.set_num_threads(THREADS)
    usual, ours = prepare(names, chunk=TEMPLATES * len(names))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    before = _status("VmRSS")
    (usual if way == "usual" else ours)()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def compare(names: Sequence[str], *, repetitions: int, peak_names: int) -> dict[str, Any]:
    """Time, memory and agreement of the two ways for one list of class names."""
    usual, ours = prepare(names, chunk=CHUNK)
    ours()  # the first pass of a process pays for thread pools and caches
    times: dict[str, list[float]] = {"usual": [], "ours": []}
    outputs: dict[str, tuple[Tensor, Tensor]] = {}
    for repetition in range(repetitions):
        for way, step in (("usual", usual), ("ours", ours)):
            started = time.perf_counter()
            outputs[way] = step()
            times[way].append(time.perf_counter() - started)
            print(f"  {repetition + 1}/{repetitions} {way:5} {times[way][-1]:8.2f} s", flush=True)
    (slow, slow_gradient), (fast, fast_gradient) = outputs["usual"], outputs["ours"]
    first = names[: CHUNK // TEMPLATES]
    bytes_saved = {
        "usual": saved_bytes(prepare(first, chunk=CHUNK)[0]) * len(names) // len(first),
        "ours": saved_bytes(ours),
    }
    peak = {way: peak_bytes(way, names[:peak_names]) for way in ("usual", "ours")}
    return {
        "classes": len(names),
        "prompts": TEMPLATES * len(names),
        "seconds": {way: spread(values) for way, values in times.items()},
        "time_ratio": round(statistics.median(times["usual"]) / statistics.median(times["ours"]), 2),
        "time_ratio_worst": round(min(times["usual"]) / max(times["ours"]), 2),
        "bytes_saved": bytes_saved,
        "memory_ratio": round(bytes_saved["usual"] / bytes_saved["ours"], 2),
        "peak": {
            "classes": min(peak_names, len(names)),
            "bytes": peak,
            "ratio": round(peak["usual"] / peak["ours"], 2),
        },
        "agreement": {
            "features_max_difference": float((slow - fast).abs().max()),
            "gradient_relative_difference": float((slow_gradient - fast_gradient).norm() / slow_gradient.norm()),
        },
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Least, middle and greatest of some times, and all of them."""
    return {
        "min": round(min(values), 3),
        "median": round(statistics.median(values), 3),
        "max": round(max(values), 3),
        "all": [round(value, 3) for value in values],
    }


def main(*, smoke: bool) -> None:
    """Run both cases, print them, and write the JSON."""
    torch.set_num_threads(THREADS)
    settings = {"architecture": ARCHITECTURE, "weights": "random", "templates": TEMPLATES, "context_tokens": TOKENS,
                "threads": THREADS, "usual_chunk": CHUNK, "precision": "fp32"}  # fmt: skip
    results: dict[str, Any] = {}
    for case, names in CASES.items():
        print(f"{case}: {len(names)} classes", flush=True)
        chosen = names[:3] if smoke else names
        repetitions = 1 if smoke else REPETITIONS[case]
        results[case] = {**compare(chosen, repetitions=repetitions, peak_names=60), "goal": GOALS[case]}
        print(json.dumps(results[case], indent=2), flush=True)
    if not smoke:
        method = (__doc__ or "").split("How each number is got:\n")[1].strip()
        load = {"load_average_at_end": os.getloadavg()}
        payload = {"settings": settings, "method": method, "results": results, **load, "provenance": cdc.provenance()}
        write_json(RESULT, payload)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="three classes, one repetition, nothing written")
    main(smoke=parser.parse_args().smoke)
