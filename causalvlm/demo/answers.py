"""What a bundled model makes of pictures drawn from Picto: embeddings and the concepts that it names."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

import cdc
from causalvlm.embeddings.encode import describe
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.worlds.picto.collections import collection
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.reader import PictoReader, read_with
from causalvlm.worlds.picto.scm import PictoSample


@dataclass(frozen=True, eq=False)
class Model:
    """A zero-shot model and its reader; what it named on a sample is kept.

    Attributes:
        name: of the backbone.
        reader: encodes pictures from their pixels.
    """

    name: str
    reader: PictoReader
    _named: dict[object, Int[np.ndarray, " rows"]] = field(default_factory=dict[object, Int[np.ndarray, " rows"]])

    def table(self, sample: PictoSample, *, progress: str | None = None) -> EmbeddingTable:
        """Embeddings, logits, labels and factors of the pictures."""
        features = self.reader.features(sample, progress=progress)
        answers = self.reader.adapter.classifier(self.reader.class_names)(features)
        words = sample.table()
        return EmbeddingTable(
            features=features.cpu().numpy(),
            logits=answers.logits.cpu().numpy(),
            labels=sample.labels,
            factors={factor: words[factor].to_numpy().astype(str) for factor in FACTORS},
            class_names=self.reader.class_names,
            source=describe(self.reader.adapter, data="picto", fingerprint="", images="drawn for the demonstration"),
        )

    def named(self, sample: PictoSample) -> Int[np.ndarray, " rows"]:
        """Index of the concept that the model names on each picture; a sample is read once."""
        key = (sample.noise.tobytes(), tuple(sorted(sample.interventions.items())), sample.world.regime)
        if key not in self._named:
            features = self.reader.features(sample)
            self._named[key] = self.reader.adapter.classifier(self.reader.class_names)(features).labels.numpy()
        return self._named[key]


def load_model(name: str, collection_name: str) -> Model:
    """A bundled model that chooses among the concepts of a collection.

    Example:
        >>> load_model("picto", "mammals").name
        'picto'
    """
    chosen = collection(collection_name)
    return Model(name, read_with(cdc.load_backbone(name), chosen.concepts, template=chosen.template))
