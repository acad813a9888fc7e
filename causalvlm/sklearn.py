"""`AdapterClassifier`: an adapter as scikit-learn's tools take it, on image files or on embeddings."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

import cdc
from causalvlm.errors import InputError
from cdc.data.dataset import DEFAULT_TEMPLATE
from cdc.images.encode import CacheFolder


class AdapterClassifier(ClassifierMixin, BaseEstimator):
    """Adapt a CLIP-like model with ``fit``, and classify with what came of it.

    ``X`` is a list or array of image paths, or embeddings [N, dim] of the same backbone, such as `cdc.encode_images`
    makes. On files, the templates see augmented views in training; on embeddings, the images as they are.

    Args:
        method: the name of a method or of a variant, or a config with settings of your own.
        backbone: what `cdc.load_backbone` takes; the one last used stays loaded.
        pretrained: tag or checkpoint.
        class_names: how prompts call the classes, in the order of `classes_`; None for the labels themselves.
        template: hand-crafted prompt with ``{}`` once.
        shots: at most so many training images of a class, drawn by `seed`; None for all.
        epochs: passes over them; None for the method's own number.
        learning_rate: peak rate; None for the method's own.
        seed: of the draw, the initial tokens and the shuffling.
        device: where the backbone is loaded.
        cache: folder of the cached features of files; None turns caching off.

    Attributes:
        classes_: the labels, sorted.
        adapter_: the `cdc.Adapter`; what it could not read in training is on its card.
        n_features_in_: columns of the embeddings, where it was fitted on those.

    Example:
        >>> backbone = cdc.load_backbone("picto")
        >>> X = backbone.encode_texts(["a picture of a cat.", "a picture of a dog."]).numpy()
        >>> AdapterClassifier("zero-shot", template="a picture of a {}.").fit(X, ["cat", "dog"]).predict(X)
        array(['cat', 'dog'], dtype='<U3')
    """

    classes_: Shaped[np.ndarray, " classes"]
    adapter_: "cdc.Adapter"

    def __init__(
        self,
        method: "str | cdc.MethodConfig" = "cdc",
        backbone: str = "picto",
        *,
        pretrained: str | None = None,
        class_names: Sequence[str] | None = None,
        template: str = DEFAULT_TEMPLATE,
        shots: int | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        seed: int = 1,
        device: str = "cpu",
        cache: CacheFolder = "default",
    ) -> None:
        self.method = method
        self.backbone = backbone
        self.pretrained = pretrained
        self.class_names = class_names
        self.template = template
        self.shots = shots
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.seed = seed
        self.device = device
        self.cache: CacheFolder = cache

    def fit(self, X: Any, y: Any) -> "AdapterClassifier":  # noqa: ANN401 - whatever scikit-learn takes
        """Adapt the backbone to labelled images.

        Args:
            X: image paths, or embeddings [N, dim].
            y: a label for each.

        Raises:
            InputError: if there are fewer than two classes, their names are not one for each, or embeddings are not
                the backbone's.
        """
        images, targets = self._validate(X, y)
        check_classification_targets(targets)
        self.classes_, labels = np.unique(targets, return_inverse=True)
        names, settings = self._names(), self._settings(len(labels))
        config, towers = self._config(), _towers(self.backbone, self.pretrained, self.device)
        if _are_paths(images):
            rows = tuple(cdc.Example(Path(path), int(label)) for path, label in zip(images, labels, strict=True))
            data = cdc.ImageDataset("fit", names, train=rows, validation=(), test=(), template=self.template)
            self.adapter_ = cdc.fit(data, config, towers, settings)
        else:
            self.adapter_ = cdc.fit_features(
                self._embeddings(images), torch.tensor(labels), names, config, towers, settings, template=self.template
            )
        return self

    def predict(self, X: Any) -> Shaped[np.ndarray, " rows"]:  # noqa: ANN401
        """The most probable label of each image."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "rows classes"]:  # noqa: ANN401
        """Probability of each of `classes_`.

        Raises:
            InputError: if a file cannot be read, or the method reads pixels and is given embeddings.
        """
        check_is_fitted(self)
        if _are_paths(X):
            found = self.adapter_.classify([Path(path) for path in X], cache=self.cache)
            if found.unreadable:
                raise cdc.UnreadableImageError(*found.unreadable[0])
            prediction = found.prediction
        else:
            embeddings = np.asarray(validate_data(self, X, dtype=np.float32, reset=False))
            prediction = self._predict_embeddings(embeddings)
        probabilities = prediction.probabilities.cpu().double().numpy()
        return probabilities / probabilities.sum(1, keepdims=True)  # float32 sums to one within 1e-7 only

    def __sklearn_tags__(self) -> Tags:
        """That it learns prompts in an embedding space, and not from any table of numbers."""
        tags = super().__sklearn_tags__()
        assert tags.classifier_tags is not None  # noqa: S101 - it is a ClassifierMixin
        tags.classifier_tags.poor_score = True
        return tags

    def _validate(self, X: Any, y: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """`X` as paths or as a float array, `y` as a column; as many of one as of the other."""
        if not _are_paths(X):
            images, targets = validate_data(self, X, y, dtype=np.float32)
            return images, targets
        targets = column_or_1d(y, warn=True)
        if len(X) != len(targets):
            raise InputError(f"y must have a label for each of {len(X)} images; received {len(targets)}. Pass both.")
        return X, targets

    def _predict_embeddings(self, X: Float[np.ndarray, "rows _"]) -> "cdc.Prediction":
        classifier = self.adapter_.classifier()
        if classifier.reads == "pixels":
            raise InputError(
                f"{self.adapter_.card.method.name!r} must be given image files, for it reads pixels; received "
                "embeddings. Pass paths."
            )
        with torch.no_grad():
            return classifier(self._embeddings(X).to(self.adapter_.backbone.device))

    def _embeddings(self, X: Float[np.ndarray, "rows _"]) -> Float[torch.Tensor, "rows _"]:
        """Rows of unit length.

        Raises:
            InputError: if the backbone's have another number of columns.
        """
        towers = _towers(self.backbone, self.pretrained, self.device)
        if X.shape[1] != towers.dim:
            raise InputError(
                f"embeddings must have the {towers.dim} columns of {towers.name!r}; received {X.shape[1]}. Make them "
                "with cdc.encode_images, or pass image paths."
            )
        return torch.nn.functional.normalize(torch.tensor(X), dim=-1)

    def _names(self) -> tuple[str, ...]:
        """How prompts call the classes."""
        if len(self.classes_) < 2:
            raise InputError(f"y must have at least two classes; received {len(self.classes_)} class. Add another.")
        names = tuple(map(str, self.classes_ if self.class_names is None else self.class_names))
        if len(names) != len(self.classes_):
            raise InputError(
                f"class_names must name each of {len(self.classes_)} classes; received {len(names)}. List them in the "
                "order of the sorted labels."
            )
        return names

    def _config(self) -> "cdc.MethodConfig":
        return cdc.method_config(self.method) if isinstance(self.method, str) else self.method

    def _settings(self, images: int) -> "cdc.FitSettings":
        chosen = {"epochs": self.epochs, "learning_rate": self.learning_rate}
        training = cdc.default_training(self.backbone, self._config())
        training = replace(training, seed=self.seed, **{k: v for k, v in chosen.items() if v is not None})
        shots = images if self.shots is None else self.shots
        return cdc.FitSettings(shots=shots, training=training, allow_fewer=True, cache=self.cache)


@lru_cache(maxsize=1)
def _towers(backbone: str, pretrained: str | None, device: str) -> "cdc.Backbone":
    """A backbone that every fold of a cross-validation shares."""
    return cdc.load_backbone(backbone, pretrained, device)


def _are_paths(X: Any) -> bool:  # noqa: ANN401
    """Whether these are image paths: one after the other, all text or paths."""
    if isinstance(X, np.ndarray) or hasattr(X, "to_numpy"):
        values = np.asarray(X)
        return values.ndim == 1 and len(values) > 0 and all(isinstance(value, str | Path) for value in values)
    return isinstance(X, list | tuple) and len(X) > 0 and all(isinstance(value, str | Path) for value in X)
