"""What `make bench` measures on a CPU, on a GPU; and whether a GPU gives the CPU's results.

Run:    python benchmarks/gpu.py            (needs a CUDA device; without one it says so and exits 2)
        python benchmarks/gpu.py --smoke    (the same code on the CPU at tiny sizes, under a minute)
Takes:  under 8 minutes on one H100 and 16 CPU cores; 16 GB of GPU memory
Expect: every agreement within its tolerance and no step that waits for the device, or exit 1; at least 0.95 of
        zero-shot's images a second; text encoding faster than the usual way, in less memory
Writes: benchmarks/results/gpu.json; out/gpu_smoke.json with --smoke

How each number is got:
* seconds of a step: `loss`, backward and optimizer on data that lie on the device, between two synchronisations around
  `steps` steps, after a warm-up. Epochs and images a second are those of `benchmarks/adaptation.py`; text encoding is
  that of `benchmarks/text_encoding.py`, the usual way in chunks of 480 prompts, for whole it would take some 40 GB.
* peak bytes: most memory that torch allocates during the work, less what was allocated before it; null on a CPU.
* waits: what in a step makes the CPU wait for the device, in torch's words; null where nothing does.
* agreement: every method's predictions and one step, at parameters moved off their start, where some gradients vanish.
  fp32 against the CPU's fp32, without TF32: largest difference of logits, difference of loss and norm of the gradient's
  difference, each relative to the CPU's own. Lower precisions against fp32 on the same device: largest difference of a
  probability, and the share of equal labels, which says little where no class leads clearly, as with random weights.
* speeds are those of torch's own settings, which allow TF32 in convolutions.
"""

import argparse
import itertools
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from adaptation import against_zero_shot, class_names, epoch_seconds, finish, images_per_second, summary
from PIL import Image
from text_encoding import CASES, prepare
from torch import Tensor

import cdc
from cdc.backbones.backbone import Precision
from cdc.files import write_json
from cdc.methods.registry import build_method

RESULT, SMOKE_RESULT = Path(__file__).parent / "results" / "gpu.json", Path("out/gpu_smoke.json")
TOLERANCES = {"logits": 1e-4, "loss": 1e-4, "gradient": 1e-3}
"""Of fp32 on the device, relative to the CPU."""
BOUNDS = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.02}
"""Of a probability in low precision, and of a text feature of the usual way in every precision."""
CHUNK, WARM_UP, MOVED = 480, 3, 0.02

Record = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        backbones: names for `cdc.load_backbone`; an architecture has random weights.
        architecture: whose text tower encodes prompts in both ways.
        precisions: of the towers, fp32 among them.
        encoded: precisions in which prompts are encoded in both ways.
        classes: class names in a task.
        prompted: most class names in a text encoding.
        batch: images in a step.
        steps: steps between two looks at the clock.
        repetitions: timings of which the summary is made.
        epochs: timed epochs of CDC.
        images: images that are classified between two looks at the clock.
        compared: images on which results are compared.
    """

    backbones: tuple[str, ...] = ("picto", "photo", "ViT-B-16")
    architecture: str = "ViT-B-16"
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
    encoded: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
    classes: int = 50
    prompted: int = 500
    batch: int = 32
    steps: int = 5
    repetitions: int = 5
    epochs: int = 4
    images: int = 1024
    compared: int = 16


SMOKE = Sizes(
    ("picto",), "ViT-S-32-alt", ("fp32", "bf16"), ("fp32",),
    classes=2, prompted=1, batch=2, steps=1, repetitions=1, epochs=1, images=2, compared=2,
)  # fmt: skip


def make(name: str, backbone: cdc.Backbone, classes: int) -> cdc.Method | str:
    """The method of this name, or why it refuses the backbone."""
    try:
        task = cdc.Task(class_names(classes), "a photo of a {}.", seed=1)
        return build_method(cdc.METHODS[name].config(), backbone, task)
    except cdc.InputError as refusal:
        return str(refusal)


def noise(backbone: cdc.Backbone, count: int) -> Tensor:
    """Pictures of noise, the same on every device."""
    shape = backbone.preprocess(Image.new("RGB", (256, 256))).shape
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0)).to(backbone.device)


def training_batch(method: cdc.Trainable, pixels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """What `loss` is given: pictures, or their features once per template; and labels."""
    labels = (torch.arange(len(pixels)) % classes).to(pixels.device)
    match method.trains_on:
        case cdc.Pixels():
            return pixels, labels
        case cdc.CachedViews(templates=templates):
            return method.backbone.encode_images(pixels)[:, None].repeat(1, templates, 1), labels


def elapsed(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Mean seconds of `work` in a row of `times`: the device is waited for at both ends alone."""
    finish(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    finish(device)
    return (time.perf_counter() - start) / times


def peak_bytes(work: Callable[[], object], device: torch.device) -> int | None:
    """Most memory that `work` takes beyond what is allocated before it."""
    if device.type != "cuda":
        work()
        return None
    finish(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    finish(device)
    return torch.cuda.max_memory_allocated(device) - before


def what_waits(work: Callable[[], object], device: torch.device) -> str | None:
    """What in `work` makes the CPU wait for the device."""
    if device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


def step_record(method: cdc.Trainable, sizes: Sizes) -> Record:
    """Seconds, memory and waits of a training step."""
    device = method.backbone.device
    images, labels = training_batch(method, noise(method.backbone, sizes.batch), sizes.classes)
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-5, momentum=0.9)

    def step() -> None:
        loss = method.loss(images, labels, progress=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    elapsed(step, min(WARM_UP, sizes.steps), device)
    seconds = [elapsed(step, sizes.steps, device) for _ in range(sizes.repetitions)]
    return {
        "seconds": summary(seconds),
        "peak_bytes": peak_bytes(step, device),
        "waits": what_waits(step, device),
    }


def steps(backbone: cdc.Backbone, sizes: Sizes) -> Record:
    """A training step of every method that learns, or why it refuses the backbone."""
    record: Record = {}
    for name in cdc.METHODS:
        method = make(name, backbone, sizes.classes)
        if isinstance(method, str):
            record[name] = {"refused": method}
        elif isinstance(method, cdc.Trainable):
            record[name] = step_record(method, sizes)
    return record


def speed(name: str, device: str, precision: Precision, sizes: Sizes) -> Record:
    """Epochs, predictions and steps on one backbone."""
    backbone = cdc.load_backbone(name, None, device, precision)
    epochs = epoch_seconds(backbone, classes=sizes.classes, epochs=sizes.epochs)
    pixels = noise(backbone, sizes.images)
    speeds = images_per_second(backbone, pixels, classes=sizes.classes, repeats=sizes.repetitions)
    return {
        "epoch_seconds": summary(epochs),
        "images_per_second": {method: summary(values) for method, values in speeds.items()},
        "predict_ratio": against_zero_shot(speeds),
        "steps": steps(backbone, sizes),
    }


def encoding(names: Sequence[str], device: str, precision: Precision, sizes: Sizes) -> Record:
    """Seconds and memory of the two ways to encode a class list's prompts, in turns, and how far they are apart."""
    usual, ours = prepare(
        names[: sizes.prompted], chunk=CHUNK, architecture=sizes.architecture, device=device, precision=precision
    )
    ways, place = {"usual": usual, "ours": ours}, torch.device(device)
    (slow, _), (fast, _) = usual(), ours()  # warms up
    peak = {way: peak_bytes(work, place) for way, work in ways.items()}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _, (way, work) in itertools.product(range(sizes.repetitions), ways.items()):
        seconds[way].append(elapsed(work, 1, place))
    return {
        "seconds": {way: summary(values) for way, values in seconds.items()},
        "peak_bytes": peak,
        "features_max_difference": finite((slow - fast).abs().max()),
    }


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method makes of some images, on the CPU; loss and gradient where it learns."""

    logits: Tensor
    probabilities: Tensor
    loss: Tensor | None = None
    gradient: Tensor | None = None


def outcome(method: cdc.Method, pixels: Tensor, classes: int) -> Outcome:
    """Loss and gradient of one step at moved parameters, and the predictions there."""
    loss = gradient = None
    if isinstance(method, cdc.Trainable):
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in method.parameters():
                parameter += (MOVED * torch.randn(parameter.shape, generator=generator)).to(parameter)
        loss = method.loss(*training_batch(method, pixels, classes), progress=0.5)
        loss.backward()
        gradient = torch.cat([part.grad.flatten() for part in method.parameters() if part.grad is not None]).cpu()
        loss = loss.detach().cpu()
    classifier = method.classifier(class_names(classes))
    images = pixels if classifier.reads == "pixels" else method.backbone.encode_images(pixels)
    prediction = classifier(images)
    return Outcome(prediction.logits.cpu(), prediction.probabilities.cpu(), loss, gradient)


def outcomes(backbone: cdc.Backbone, sizes: Sizes) -> dict[str, Outcome | str]:
    """What every method makes of the same pictures, or why it refuses the backbone."""
    pixels = noise(backbone, sizes.compared)
    made = {name: make(name, backbone, sizes.classes) for name in cdc.METHODS}
    return {
        name: method if isinstance(method, str) else outcome(method, pixels, sizes.classes)
        for name, method in made.items()
    }


def agreement(name: str, device: str, sizes: Sizes) -> Record:
    """How far every method on a device is from the CPU, and in lower precisions from itself."""
    expected = outcomes(cdc.load_backbone(name), sizes)
    with without_tf32():
        found = {
            precision: outcomes(cdc.load_backbone(name, None, device, precision), sizes)
            for precision in sizes.precisions
        }
    return {
        method: {"refused": cpu}
        if isinstance(cpu, str)
        else compare(cpu, {key: on[method] for key, on in found.items()})
        for method, cpu in expected.items()
    }


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions in full float32, as matrix products are in any case."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def compare(cpu: Outcome, found: Mapping[str, Any]) -> Record:
    """Differences of one method's outcomes by precision."""
    exact = found["fp32"]
    record: Record = {"fp32": {"logits": relative(exact.logits, cpu.logits, math.inf)}}
    if cpu.loss is not None:
        record["fp32"] |= {
            "loss": relative(exact.loss, cpu.loss, 2),
            "gradient": relative(exact.gradient, cpu.gradient, 2),
        }
    for precision, low in found.items():
        if precision != "fp32":
            same = low.probabilities.argmax(-1) == exact.probabilities.argmax(-1)
            gap = finite((low.probabilities - exact.probabilities).abs().max())
            record[precision] = {"probability": gap, "same_label": float(same.float().mean())}
    return record


def relative(value: Tensor, reference: Tensor, order: float) -> float | None:
    """Norm of the difference by the norm of the reference."""
    return finite((value - reference).norm(order) / reference.norm(order))


def finite(value: Tensor) -> float | None:
    """A number for JSON; None, which is within no tolerance, for one that is not finite."""
    return float(value) if value.isfinite() else None


def failures(result: Record) -> list[str]:
    """Every difference beyond its tolerance, and every step that waits."""
    judged = [
        (f"{name}, {method}, {precision}: {quantity}", value, TOLERANCES.get(quantity, BOUNDS[precision]))
        for name, methods in result["agreement"].items()
        for method, precisions in methods.items()
        if "refused" not in precisions
        for precision, differences in precisions.items()
        for quantity, value in differences.items()
        if quantity != "same_label"
    ]
    judged += [
        (f"text encoding of {case}, {precision}: features", record["features_max_difference"], BOUNDS[precision])
        for precision, cases in result["text_encoding"].items()
        for case, record in cases.items()
    ]
    beyond = [f"{what} {value} > {limit}" for what, value, limit in judged if value is None or value > limit]
    return beyond + [
        f"{name}, {method}, {precision}: {record['waits']}"
        for name, precisions in result["speed"].items()
        for precision, speeds in precisions.items()
        for method, record in speeds["steps"].items()
        if record.get("waits")
    ]


def measure(device: str, sizes: Sizes) -> Record:
    """Everything, with a line on each part as it ends."""
    result: Record = {"speed": {}, "text_encoding": {}, "agreement": {}}
    for name in sizes.backbones:
        result["agreement"][name] = agreement(name, device, sizes)
        result["speed"][name] = {}
        for precision in sizes.precisions:
            result["speed"][name][precision] = record = speed(name, device, precision, sizes)
            show_speed(f"{name}, {precision}", record)
    for precision in sizes.encoded:
        result["text_encoding"][precision] = cases = {}
        for case, names in CASES.items():
            cases[case] = record = encoding(names, device, precision, sizes)
            medians = {way: f"{values['median']:.4f} s" for way, values in record["seconds"].items()}
            print(f"text encoding of {case}, {precision}: {medians}, peak bytes {record['peak_bytes']}", flush=True)
    return result


def show_speed(what: str, record: Record) -> None:
    """A few lines on one backbone in one precision."""
    images = {name: round(values["median"]) for name, values in record["images_per_second"].items()}
    print(f"{what}: {record['epoch_seconds']['median']:.3f} s an epoch of CDC, images a second {images}", flush=True)
    for method, step in record["steps"].items():
        if "refused" in step:
            print(f"  {method:12} refused: {step['refused']}")
        else:
            print(f"  {method:12} {1000 * step['seconds']['median']:9.2f} ms a step, peak bytes {step['peak_bytes']}")


def main(*, smoke: bool) -> int:
    """Measure, print and write; 1 where results do not agree, 2 where there is no GPU."""
    if not smoke and not torch.cuda.is_available():
        print("benchmarks/gpu.py needs a CUDA device, and there is none here; --smoke runs it small on the CPU.")
        return 2
    logging.disable(logging.WARNING)  # that the weights of an architecture are random is known
    started, device, sizes = time.perf_counter(), "cpu" if smoke else "cuda", SMOKE if smoke else Sizes()
    result = measure(device, sizes)
    wrong = failures(result)
    write_json(
        SMOKE_RESULT if smoke else RESULT,
        {
            "settings": {**asdict(sizes), "warm_up": WARM_UP, "usual_chunk": CHUNK, "moved": MOVED},
            "tolerances": TOLERANCES, "bounds": BOUNDS, **result, "failures": wrong,
            "seconds": round(time.perf_counter() - started, 1),
            "provenance": {
                **cdc.provenance("cpu" if smoke else torch.cuda.get_device_name()),
                "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
            },
        },
    )  # fmt: skip
    print("\n".join(wrong) or f"results agree{', with the CPU itself' if smoke else ', and no step waits for the GPU'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on the CPU, written to out/gpu_smoke.json")
    sys.exit(main(smoke=parser.parse_args().smoke))
