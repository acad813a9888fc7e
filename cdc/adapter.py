"""A trained method that people keep: predict, save, load, and swap the class names. Prompts only, never CLIP."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as short
from tempfile import TemporaryDirectory
from typing import final

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from cdc.backbones.backbone import Backbone
from cdc.backbones.loading import load_backbone
from cdc.beliefs.fusion import Prediction
from cdc.card import AdapterCard
from cdc.data.dataset import require_class_names
from cdc.data.images import Files, file_list, lend_image
from cdc.data.listing import refuse_ambiguous_names
from cdc.errors import InputError
from cdc.files import refuse_overwrite, write_bytes
from cdc.hub import HubRevision, upload
from cdc.images.encode import CacheFolder, encode_images
from cdc.images.pixels import pictures_at_once, pixel_batches, require_readable
from cdc.markup import html_table, listed
from cdc.methods.method import Classifier, Method, Task
from cdc.methods.registry import build_method
from cdc.progress import image_bar
from cdc.readme import README, Measured, readme
from cdc.saved import CARD, WEIGHTS, find_saved, read_saved, write_saved

PREDICTED_AT_ONCE = 64
"""Pictures that `Adapter.predict` holds in memory."""


@dataclass(frozen=True, eq=False, repr=False)
class Classified:
    """What an adapter makes of image files.

    Attributes:
        prediction: one row per readable file.
        kept: row i belongs to ``paths[kept[i]]``.
        unreadable: files that were left out, each with the reason.
        features: embeddings that the frozen image tower made of them, where the classifier reads those.

    Raises:
        InputError: if the prediction has NaN or infinity: that is no answer.
    """

    prediction: Prediction
    kept: tuple[int, ...]
    unreadable: tuple[tuple[Path, str], ...]
    features: Float[Tensor, "rows dim"] | None

    def __post_init__(self) -> None:
        _require_answers(self.prediction)

    def __repr__(self) -> str:
        return f"<Classified: {self.prediction!r}, {len(self.unreadable)} unreadable>"


@final
class Adapter:
    """A trained method with its frozen backbone.

    Args:
        method: trained (or zero-shot) method.
        card: its description.
        source: the revision on the model hub that it was loaded from, if it was.

    Example:
        >>> import cdc
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> adapter = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("photo"))
        >>> adapter.predict([Image.new("RGB", (64, 64))], class_names=["horse", "sheep", "cow"]).probabilities.shape
        torch.Size([1, 3])
    """

    def __init__(self, method: Method, card: AdapterCard, source: HubRevision | None = None) -> None:
        self.method = method
        self.card = card
        self.source = source
        self._classifiers: dict[tuple[str, ...], Classifier] = {}

    def __repr__(self) -> str:
        card = self.card
        trained = f", {card.data.shots} shots" if card.training else ""
        source = f", {self.source}" if self.source else ""
        return f"<Adapter {card.method.name} on {card.backbone.name}: {len(card.class_names)} classes{trained}{source}>"

    def _repr_html_(self) -> str:  # pyright: ignore[reportUnusedFunction] - notebooks call it
        card, training = self.card, self.card.training
        learnt = "nothing: this method does not train"
        if training is not None:
            shots = f"{card.data.shots} images of each class, seed {card.data.seed}"
            learnt = f"{shots}, {training.config.epochs} epochs, {training.seconds:.0f} s"
        rows = [
            ("model", f"{card.backbone.name}, {card.backbone.precision}, frozen"),
            ("data", f"{card.data.name}, {card.data.classes} classes"),
            (f"{len(card.class_names)} classes", listed(card.class_names)),
            ("trained on", learnt),
            *([("hub", str(self.source))] if self.source else []),
        ]
        return html_table(rows, title=f"{card.method.name} on {card.backbone.name}")

    @property
    def backbone(self) -> Backbone:
        """The frozen towers behind the adapter."""
        return self.method.backbone

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes the adapter was trained on."""
        return self.card.class_names

    def classifier(self, class_names: Sequence[str] | None = None) -> Classifier:
        """The classifier for `class_names`, made once per list; None means the trained classes.

        Raises:
            InputError: if `class_names` is no list of names, or one is too long for the text tower.
        """
        names = self._names(class_names)
        if names not in self._classifiers:
            self._classifiers[names] = self.method.classifier(names)
        return self._classifiers[names]

    @torch.no_grad()
    def predict(
        self,
        images: Image.Image | Files | Sequence[Image.Image | Path | str],
        class_names: Sequence[str] | None = None,
        *,
        progress: str | None = None,
    ) -> Prediction:
        """Classify pictures, a batch in memory at a time.

        Args:
            images: pictures or files, or one of them.
            class_names: any K classes, new ones included; None means the trained ones.
            progress: label of a progress bar, shown on a terminal.

        Returns:
            Probabilities, belief [N, K], uncertainty [N] and labels [N], with the names of classes and files.

        Raises:
            InputError: if there is no image, a file cannot be read (`classify` leaves such files out), or
                `class_names` is no list of distinct names.
        """
        refuse_ambiguous_names(() if class_names is None else require_class_names(class_names))
        images = [images] if isinstance(images, Image.Image | Path | str) else images
        if len(images) == 0:
            raise InputError("images must hold at least one picture or path; received none.")
        classifier = self.classifier(class_names)
        with image_bar(progress, total=len(images)) as advance:
            batches = self._pixel_batches(images, advance)
            match classifier.reads:
                case "features":
                    prediction = classifier(torch.cat([self.backbone.encode_images(pixels) for pixels in batches]))
                case "pixels":
                    prediction = Prediction.join([classifier(pixels.to(self.backbone.device)) for pixels in batches])
        _require_answers(prediction)
        files = ("" if isinstance(image, Image.Image) else str(image) for image in images)
        return replace(prediction, class_names=self._names(class_names), files=tuple(files))

    def _names(self, class_names: Sequence[str] | None) -> tuple[str, ...]:
        return self.class_names if class_names is None else require_class_names(class_names)

    def _pixel_batches(
        self, images: Sequence[Image.Image | Path | str], advance: Callable[[], None]
    ) -> Iterator[Float[Tensor, "batch 3 _ _"]]:
        for start in range(0, len(images), PREDICTED_AT_ONCE):
            pictures: list[Tensor] = []
            for image in images[start : start + PREDICTED_AT_ONCE]:
                with nullcontext(image) if isinstance(image, Image.Image) else lend_image(image) as picture:
                    pictures.append(self.backbone.preprocess(picture.convert("RGB")))
                advance()
            yield torch.stack(pictures)

    @torch.no_grad()
    def classify(
        self,
        paths: Files,
        class_names: Sequence[str] | None = None,
        *,
        cache: CacheFolder = "default",
        progress: str | None = None,
    ) -> Classified:
        """Classify image files; those that cannot be read are left out and named.

        Args:
            paths: image files, or one.
            class_names: any K classes; None means the trained ones.
            cache: folder of cached features, for classifiers that read features; None turns caching off.
            progress: label of a progress bar, shown on a terminal.

        Raises:
            InputError: if no file is given, or none can be read.
        """
        classifier, paths = self.classifier(class_names), file_list(paths)
        match classifier.reads:
            case "features":
                found = encode_images(self.backbone, paths, cache=cache, progress=progress)
                prediction = classifier(found.values.to(self.backbone.device))
                classified = Classified(prediction, found.kept, found.unreadable, found.values)
            case "pixels":
                classified = self._classify_pixels(paths, class_names, progress=progress)
        files = tuple(str(paths[row]) for row in classified.kept)
        named = replace(classified.prediction, class_names=self._names(class_names), files=files)
        return replace(classified, prediction=named)

    @torch.no_grad()
    def stream(self, paths: Iterable[Path | str], class_names: Sequence[str] | None = None) -> Iterator[Classified]:
        """Classify image files as they come, a few in memory at a time: for more of them than a list could hold.

        Args:
            paths: image files, drawn a little in advance.
            class_names: any K classes; None means the trained ones.

        Yields:
            A batch: answers on the files that can be read, none if no file can, and the others with the reason. `kept`
            counts from the first path of all.

        Raises:
            InputError: if `class_names` is no list of distinct names.
        """
        classifier, names = self.classifier(class_names), self._names(class_names)
        drawn: dict[int, Path] = {}

        def rows() -> Iterator[int]:
            for row, path in enumerate(paths):
                drawn[row] = Path(path)
                yield row

        def render(row: int) -> Tensor:
            with lend_image(drawn[row]) as image:
                return self.backbone.preprocess(image)

        for batch in pixel_batches(rows(), render, batch_size=pictures_at_once(None, self.backbone)):
            files = tuple(str(drawn.pop(row)) for row in batch.rows)
            unreadable = tuple((drawn.pop(row), reason) for row, reason in batch.unreadable)
            prediction = Prediction(belief=torch.zeros(0, len(names)), uncertainty=torch.zeros(0))
            if files:
                pixels = batch.pixels.to(self.backbone.device)
                seen = self.backbone.encode_images(pixels) if classifier.reads == "features" else pixels
                prediction = classifier(seen)
            yield Classified(replace(prediction, class_names=names, files=files), batch.rows, unreadable, None)

    def _classify_pixels(
        self, paths: Sequence[Path], class_names: Sequence[str] | None, *, progress: str | None
    ) -> Classified:
        parts: list[Classified] = []
        with image_bar(progress, total=len(paths)) as advance:
            for part in self.stream(paths, class_names):
                parts.append(part)
                for _ in (*part.kept, *part.unreadable):
                    advance()
        unreadable = tuple(failure for part in parts for failure in part.unreadable)
        require_readable(len(paths), unreadable)
        prediction = Prediction.join([part.prediction for part in parts if part.kept])
        return Classified(prediction, tuple(row for part in parts for row in part.kept), unreadable, None)

    def save(self, directory: Path | str, *, force: bool = False) -> None:
        """Write weights (safetensors) and card (JSON) into `directory`.

        Raises:
            InputError: if an adapter lies there already and `force` is false, or a weight is not finite.
        """
        directory = Path(directory)
        refuse_overwrite(directory / CARD, force=force)
        tensors = {name: value.contiguous() for name, value in self.method.state_dict().items()}
        write_saved(directory, self.card, tensors)

    def push_to_hub(
        self, repository: str, *, revision: str | None = None, private: bool = False, token: str | None = None,
        commit_message: str | None = None, licence: str | None = None, evaluation: Mapping[str, Measured] | None = None,
    ) -> HubRevision:  # fmt: skip
        """Commit weights, card and a README made from the card to a repository on the model hub.

        Args:
            repository: ``"owner/name"``; made if it is not there. Earlier commits of it stay.
            revision: branch to commit to, made if it is not there; None means the main branch.
            private: whether the repository must be private.
            token: with the right to write; None means the one of ``hf auth login`` or of ``HF_TOKEN``.
            commit_message: of the commit; by default method, backbone and number of classes.
            licence: the hub's name of the licence, such as ``"mit"``; None names none.
            evaluation: scores for the README, by what they were measured on: ``{"test images of pets": scores}``.

        Returns:
            What others load it by: repository and commit.

        Raises:
            InputError: if a weight is not finite, the name is no ``"owner/name"``, the hub is out of reach or refuses,
                or the repository is public and `private` is true.
        """
        message = commit_message or f"{self.card.method.name} on {len(self.class_names)} classes"
        with TemporaryDirectory() as folder:
            self.save(folder)
            text = readme(self.card, repository, licence=licence, evaluation=evaluation)
            write_bytes(Path(folder) / README, text.encode(), durable=False)
            return upload(
                Path(folder), repository, (CARD, WEIGHTS, README), revision=revision, private=private, token=token,
                message=message,
            )  # fmt: skip


def load_adapter(
    directory: Path | str, *, revision: str | None = None, device: str = "cpu", backbone: Backbone | None = None
) -> Adapter:
    """Read an adapter that `Adapter.save` wrote, here or on the model hub.

    Args:
        directory: where `card.json` and `adapter.safetensors` lie; or, as text and where no such folder is,
            ``"owner/name"`` or ``"owner/name@revision"`` on the model hub, from where these two files are fetched once.
        revision: branch, tag or commit on the hub; None means the main branch.
        device: where to load the backbone.
        backbone: use this one instead of loading what the card names.

    Raises:
        InputError: if a file is missing, damaged or of an earlier format, a value in it is of another type or not
            finite, the method is not registered, the backbone's weights are not those of training, or the hub has no
            such repository or revision, keeps it private, or is out of reach.
    """
    folder, source = find_saved(directory, revision)
    card, weights = read_saved(folder, source)
    described = card.backbone
    if backbone is None:
        backbone = load_backbone(described.name, described.pretrained, device=device, precision=described.precision)
    if backbone.fingerprint != described.fingerprint:
        raise InputError(
            f"the backbone must have the weights the adapter was trained on ({described.name}, "
            f"pretrained={described.pretrained!r}, fingerprint {described.fingerprint}); received fingerprint "
            f"{backbone.fingerprint}. Pass the same checkpoint."
        )
    method = build_method(card.method, backbone, Task(card.class_names, card.template, seed=0))
    _require_same_layout(weights, method.state_dict())
    method.load_state_dict({name: value.to(backbone.device) for name, value in weights.items()})
    return Adapter(method, card, source)


def _require_same_layout(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    def layout(tensors: Mapping[str, Tensor]) -> dict[str, str]:
        return {name: f"{name} {list(value.shape)} {value.dtype}" for name, value in tensors.items()}

    if layout(found) != layout(expected):
        raise InputError(
            f"the weights of an adapter must be those of its method: {', '.join(layout(expected).values()) or 'none'}; "
            f"received {short(list(layout(found).values()))}. Save the adapter again."
        )


def _require_answers(prediction: Prediction) -> None:
    """NaN is no answer."""
    broken = ~torch.isfinite(prediction.probabilities).all(-1)
    if bool(broken.any()):
        raise InputError(
            f"a prediction must be finite; received NaN or infinity for {int(broken.sum())} of {len(broken)} "
            "images. Load the backbone in fp32, or train the adapter again at a lower learning rate."
        )
