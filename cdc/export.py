"""`export_onnx`: image tower, templates and fusion of an adapter in one file that runs without torch."""

import io
import json
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cdc.adapter import Adapter
from cdc.backbones.backbone import Backbone
from cdc.backbones.preprocessing import Preprocessing
from cdc.errors import InputError
from cdc.files import refuse_overwrite, write_bytes
from cdc.methods.cocoop import ConditionalClassifier
from cdc.methods.method import Classifier
from cdc.methods.registry import method_record

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the extra `onnx` installs."""

LARGEST_DIFFERENCE = 1e-3
"""Between a number of the file and the adapter's own; rounding makes about 1e-6 of it."""

MOST_BYTES = 2**31 - 2**20
"""Of the weights: one file of ONNX holds 2 GiB."""

TRIED = (3, 1)
"""Rows of the batches on which the file is held beside the adapter; the first is the one that is traced."""


@dataclass(frozen=True)
class OnnxExport:
    """An adapter that was written as one ONNX file.

    Attributes:
        path: the file.
        size: its bytes.
        outputs: ``"probabilities"`` [N, K] and, of a method that knows doubt, ``"uncertainty"`` [N].
        difference: largest one between an output of the file in onnxruntime and the adapter's own, on noise.
        metadata: what the file says of itself; `docs/export.md` lists the keys.
    """

    path: Path
    size: int
    outputs: tuple[str, ...]
    difference: float
    metadata: dict[str, str]

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "path": str(self.path), "outputs": list(self.outputs)}


def export_onnx(
    adapter: Adapter, path: Path | str, class_names: Sequence[str] | None = None, *, force: bool = False
) -> OnnxExport:
    """Write an adapter as one ONNX file, from preprocessed pixels [N, 3, height, width] to probabilities [N, K].

    Text features are constants, so that no text tower is needed. The file is tried in onnxruntime against the adapter
    before it is written, on batches of two sizes.

    Args:
        adapter: trained or zero-shot, in fp32.
        path: the file.
        class_names: any K classes, new ones included; None means the trained ones.
        force: replace a file that is there.

    Raises:
        InputError: if the extra `onnx` is not installed, the file exists and `force` is false, the towers are not in
            fp32 or too large for one file, their preprocessing has no plain description, the text features depend on
            the image (CoCoOp), or the file does not say what the adapter says.

    Example:
        >>> import cdc, tempfile
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> adapter = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto"))
        >>> written = export_onnx(adapter, Path(tempfile.mkdtemp()) / "pets.onnx")
        >>> written.outputs, written.difference < 1e-4
        (('probabilities',), True)
    """
    path = Path(path)
    refuse_overwrite(path, force=force)
    onnx, _, runtime = _packages()
    preprocessing = _require_exportable(adapter.backbone)
    classifier = adapter.classifier(class_names)
    if isinstance(classifier, ConditionalClassifier):
        raise InputError(
            "text features must be the same for every image to be constants of a file; received 'cocoop', which makes "
            "them anew for each image with the text tower. Export another method, such as 'cdc' or 'coop'."
        )
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(rows, 3, *preprocessing.size, generator=generator) for rows in TRIED]
    graph = _Graph(adapter.backbone, classifier)
    model = _trace(graph, batches[0])
    described = _describe(adapter, classifier, preprocessing)
    content = _serialize(onnx, model, described)
    difference = _compare(runtime, content, graph, batches)
    write_bytes(path, content, force=force)
    return OnnxExport(path, len(content), graph.outputs, difference, described)


@final
class _Graph(nn.Module):
    """What the file computes."""

    def __init__(self, backbone: Backbone, classifier: Classifier) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.tower = backbone.image_tower  # a child, so that its weights are the graph's
        self.outputs: tuple[str, ...] = ("probabilities", "uncertainty")
        self.eval()

    def forward(self, pixels: Float[Tensor, "rows 3 _ _"]) -> tuple[Tensor, ...]:
        images = pixels if self.classifier.reads == "pixels" else self.backbone.embed_images(pixels)
        prediction = self.classifier(images)
        return tuple(getattr(prediction, name) for name in self.outputs)


def _packages() -> tuple[Any, ...]:
    try:
        return tuple(import_module(name) for name in PACKAGES)
    except ModuleNotFoundError as error:
        raise InputError(
            f"an export to ONNX must find its packages; {error.name!r} is not installed. Install the extra: "
            "pip install 'causalvlm[onnx]'."
        ) from error


def _require_exportable(backbone: Backbone) -> Preprocessing:
    if backbone.precision != "fp32":
        raise InputError(
            f"towers must be in fp32 to be exported; received {backbone.precision}. Load the adapter with "
            f"backbone=load_backbone({backbone.name!r}, {backbone.pretrained!r})."
        )
    size = sum(weights.nbytes for weights in backbone.image_tower.state_dict().values())
    if size > MOST_BYTES:
        raise InputError(
            f"the image tower must fit the 2 GiB of one ONNX file; that of {backbone.name!r} has {size:,} bytes. Use a "
            "smaller backbone."
        )
    if backbone.preprocessing is None:
        raise InputError(
            "the preprocessing of an exported adapter must be a resize and a crop that a file can describe; that of "
            f"{backbone.name!r} is none. Use another backbone."
        )
    return backbone.preprocessing


@torch.no_grad()
def _trace(graph: _Graph, pixels: Tensor) -> Any:  # noqa: ANN401 - a proto of a package that may be missing
    """The model of ONNX; of a method that knows no doubt, such as a softmax, without an output for it."""
    pixels = pixels.to(graph.backbone.device)
    if not bool((graph(pixels)[1] > 0).any()):
        graph.outputs = ("probabilities",)
    # What the exporter says of its own workings: warnings, and the whole graph where it fails.
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                graph,
                (pixels,),
                input_names=["pixels"],
                output_names=graph.outputs,
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = " ".join(str(error.__cause__ or error).split())[:240]
            raise InputError(
                f"a method must be one graph of tensor operations to be exported; tracing it failed: {reason}. Export "
                "another method, such as 'cdc' or 'coop'."
            ) from error
    assert program is not None  # noqa: S101 - the exporter on torch.export always returns one
    return program.model_proto


def _describe(adapter: Adapter, classifier: Classifier, preprocessing: Preprocessing) -> dict[str, str]:
    card = adapter.card
    described = {
        "class_names": list(classifier.class_names),
        "preprocessing": preprocessing.to_record(),
        "method": method_record(card.method),
        "template": card.template,
        "backbone": asdict(card.backbone),
        "version": metadata.version("causalvlm"),
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in described.items()}


def _serialize(onnx: Any, model: Any, described: dict[str, str]) -> bytes:  # noqa: ANN401
    """The bytes of the file, without the source lines and folders that the exporter notes at every node."""
    for part in (model.graph, *model.functions):
        for item in (part, *part.node, *part.value_info):
            item.ClearField("metadata_props")
            item.ClearField("doc_string")
    for item in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        item.ClearField("metadata_props")
    model.producer_name, model.producer_version = "causalvlm", described["version"]
    onnx.helper.set_model_props(model, described)
    return model.SerializeToString(deterministic=True)


def _compare(runtime: Any, content: bytes, graph: _Graph, batches: Sequence[Tensor]) -> float:  # noqa: ANN401
    """Largest difference between what the file says and what the adapter says.

    Raises:
        InputError: if it is more than `LARGEST_DIFFERENCE`, or onnxruntime cannot run the file.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised; what it would log is no affair of the caller's
    differences: list[float] = []
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for pixels in batches:
            said = session.run(None, {"pixels": pixels.numpy()})
            with torch.no_grad():
                meant = graph(pixels.to(graph.backbone.device))
            differences += [
                float((torch.from_numpy(ours) - theirs.cpu()).abs().max())
                for ours, theirs in zip(said, meant, strict=True)
            ]
    except Exception as error:  # those of onnxruntime have no other base
        reason = " ".join(str(error).split())[:240]
        raise InputError(
            f"an exported file must run for every number of rows; onnxruntime says: {reason}. A method of your own "
            "must leave the number of rows free: write x.shape[0], not len(x)."
        ) from error
    if not max(differences) <= LARGEST_DIFFERENCE:
        raise InputError(
            f"an exported file must say what the adapter says, to {LARGEST_DIFFERENCE:g}; it differs by "
            f"{max(differences):.2g}. A method of your own must answer each image by itself and at random never."
        )
    return max(differences)
