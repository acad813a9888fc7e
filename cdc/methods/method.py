"""What a method is: a classifier for any class names and, where it learns, a loss on what it declares to train on."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, final, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from cdc.backbones.backbone import Backbone
from cdc.beliefs.fusion import Prediction
from cdc.images.views import DEFAULT_AUGMENTATION, AugmentationSet

Reads = Literal["features", "pixels"]
"""What a classifier is shown: embeddings of the frozen image tower, or preprocessed pixels."""


@runtime_checkable
class Classifier(Protocol):
    """What a method says of images among fixed class names: a frozen value.

    Attributes:
        class_names: the K classes.
        reads: ``"features"`` for unit-length embeddings [N, dim] of the frozen image tower, which are cached;
            ``"pixels"`` for preprocessed pictures [N, 3, height, width].
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def reads(self) -> Reads: ...  # noqa: D102

    def __call__(self, images: Float[Tensor, "rows ..."]) -> Prediction:
        """Prediction for N images, features or pixels."""
        ...


@runtime_checkable
class SeveralTemplates(Protocol):
    """A classifier whose templates can be asked one by one: what it may offer beside its prediction."""

    @abstractmethod
    def template_logits(self, images: Float[Tensor, "rows ..."]) -> Float[Tensor, "templates rows classes"]:
        """What each template says of N images before anything is fused."""
        ...


def template_logits(
    classifier: Classifier, images: Float[Tensor, "rows ..."]
) -> Float[Tensor, "templates rows classes"]:
    """What each template says of images, the values of the mediator S; a classifier without templates has one voice.

    Log-probabilities up to a constant per row.

    Args:
        classifier: of any method.
        images: features or pixels, as it reads.
    """
    if isinstance(classifier, SeveralTemplates):
        return classifier.template_logits(images)
    return classifier(images).logits[None]


@runtime_checkable
class MethodConfig(Protocol):
    """Settings of a method: a frozen dataclass of at most eight fields, validated when it is made.

    Attributes:
        name: what the method is called everywhere: in commands, cards and results.
    """

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """What a method is made for.

    Attributes:
        class_names: the classes to train on.
        template: hand-crafted template t^0 of the data set, with ``{}`` once.
        seed: of everything that starts at random.
    """

    class_names: tuple[str, ...]
    template: str
    seed: int


@runtime_checkable
class Method(Protocol):
    """A way to classify images with a frozen backbone, whatever the class names.

    A method is made as ``method(backbone, config, task)`` and is a `torch.nn.Module` without the backbone's weights:
    its `state_dict` is all that an adapter saves.

    Attributes:
        backbone: frozen towers.
        config: settings.
    """

    backbone: Backbone
    config: Any

    @abstractmethod
    def classifier(self, class_names: Sequence[str]) -> Classifier:
        """The classifier for these class names, of which training may have seen none.

        Raises:
            InputError: if the method knows the classes of its training only, and others are asked for.
        """
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """What training has changed: parameters and buffers."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:  # noqa: ANN401 - torch's report
        """Take over what `state_dict` returned."""
        ...


@dataclass(frozen=True)
class CachedViews:
    """Train on embeddings of augmented views, which the frozen image tower encodes once: [batch, templates, dim].

    Attributes:
        templates: views of an image that a step needs, one for each template; a single one is drawn from the views of
            all augmentations.
        augmentation: of the views, unless the run asks for another.
        half_clean: every other draw is the image as at test time instead of a view.
    """

    templates: int = 1
    augmentation: AugmentationSet = DEFAULT_AUGMENTATION
    half_clean: bool = False


@dataclass(frozen=True)
class Pixels:
    """Train on freshly augmented and preprocessed pictures: [batch, 3, height, width].

    Attributes:
        augmentation: of the pictures, unless the run asks for another.
    """

    augmentation: AugmentationSet = DEFAULT_AUGMENTATION


TrainsOn = CachedViews | Pixels
"""What a step of training is given: `match` on it."""


@runtime_checkable
class Trainable(Method, Protocol):
    """A method that learns. Inherit from `torch.nn.Module` and from this, in that order.

    Parameters are float32 whatever the towers' precision, and are cast where they enter a tower.

    Attributes:
        trains_on: what `loss` is given.
    """

    trains_on: TrainsOn

    @abstractmethod
    def loss(
        self, images: Float[Tensor, "batch ..."], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Training loss of a batch.

        Args:
            images: as `trains_on` says.
            labels: class of each image.
            progress: share of the training that is over, from 0 to 1.
        """
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the optimizer changes."""
        ...

    def begin(self, images: Float[Tensor, "rows ..."]) -> None:
        """Called once before the first step of a training on `CachedViews`, with all that it will draw from.

        Args:
            images: [rows, templates, views, dim].
        """

    @property
    def rehearses(self) -> bool:
        """Whether `learn_from` wants rehearsals: trainings on halves of the classes, for half as much time again."""
        return False

    def learn_from(self, rehearsals: "Sequence[Rehearsal]") -> None:
        """Called before the training of a method that rehearses, if there are classes and shots enough for it."""

    def end_epoch(self, finished: int, total: int) -> None:
        """Called after every epoch and before its checkpoint: what it leaves in buffers survives a kill."""


@final
@dataclass(frozen=True, eq=False)
class HeldOut:
    """Images that a rehearsal did not train on.

    Attributes:
        features: as at test time, unit length.
        labels: index into `class_names`.
        class_names: among which to classify them.
    """

    features: Float[Tensor, "rows dim"]
    labels: Int[Tensor, " rows"]
    class_names: tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class Rehearsal:
    """The same training on half of the classes and three of four of their shots, and what was kept from it.

    What a method does to images and classes that it was not trained on can be seen here, on the shots alone.

    Attributes:
        method: trained on the half.
        known: the other shots of its classes.
        new: the shots of the other half of the classes.
    """

    method: Trainable
    known: HeldOut
    new: HeldOut


@final
@dataclass(frozen=True, eq=False, repr=False)
class CosineClassifier:
    """Softmax of scaled cosines between image features and one text feature per class.

    Attributes:
        backbone: whose logit scale and bias to use.
        class_names: the K classes.
        text: their unit-length features.
    """

    backbone: Backbone
    class_names: tuple[str, ...]
    text: Float[Tensor, "classes dim"]
    reads: Reads = "features"

    def __repr__(self) -> str:
        return f"<CosineClassifier of {len(self.class_names)} classes on {self.backbone.name}>"

    def __call__(self, images: Float[Tensor, "rows dim"]) -> Prediction:
        """Softmax probabilities as beliefs, no uncertainty."""
        return Prediction.from_logits(self.backbone.logits(images, self.text))
