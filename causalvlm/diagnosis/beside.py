"""What stands beside a linear probe: a kernel, colours, a network that has learnt nothing, and arbitrary labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, Shaped

from causalvlm.diagnosis.columns import Columns, FactorColumn
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.probes.baselines import Baseline, Selectivity, compare_baselines, fit_selectivity, measure_baselines
from causalvlm.probes.nonlinear import NonlinearProbe, fit_nonlinear
from cdc.progress import image_bar


@dataclass(frozen=True)
class Beside:
    """What one factor's probe is held against.

    Attributes:
        nonlinear: what a kernel reads beyond it.
        baselines: the same probe of something simpler; none where images come from no file.
        selectivity: its accuracy minus that on levels that mean nothing; None where images are too few.
        refused: what could not be asked, each with the reason.
    """

    nonlinear: NonlinearProbe
    baselines: tuple[Baseline, ...]
    selectivity: Selectivity | None
    refused: tuple[tuple[str, str], ...] = ()

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "nonlinear": self.nonlinear.to_record(),
            "baselines": [one.to_record() for one in self.baselines],
            "selectivity": self.selectivity.to_record() if self.selectivity else None,
            "refused": [list(one) for one in self.refused],
        }


def take_groups(columns: Columns, name: str | None) -> tuple[Columns, Shaped[np.ndarray, " rows"] | None]:
    """The columns without the one that says which images belong together, and that one's levels.

    Args:
        columns: factors of a table.
        name: of the labelled factor that is none, such as the video of a frame; None for images on their own.

    Raises:
        InputError: if there is no labelled factor of that name.

    Example:
        >>> from causalvlm.diagnosis.columns import labelled_columns
        >>> factors = {"light": np.array(["day", "night"]), "video": np.array(["a", "b"])}
        >>> table = EmbeddingTable(np.eye(2), np.eye(2), np.array([0, 1]), factors, ("cat", "dog"))
        >>> found, video = take_groups(labelled_columns(table), "video")
        >>> list(found.factors), video.tolist()
        (['light'], ['a', 'b'])
    """
    if name is None:
        return columns, None
    if name not in columns.table.factors:
        raise InputError(
            f"groups must be a labelled factor ({', '.join(columns.table.factors) or 'there is none'}); received "
            f"{name!r}. Label which images belong together."
        )
    table = replace(columns.table, factors={one: kept for one, kept in columns.table.factors.items() if one != name})
    factors = {one: column for one, column in columns.factors.items() if one != name}
    return replace(columns, table=table, factors=factors), columns.table.factors[name]


def probe_beside(
    columns: Columns,
    *,
    folds: int,
    rng: np.random.Generator,
    groups: Shaped[np.ndarray, " rows"] | None = None,
    progress: bool = False,
) -> dict[str, Beside]:
    """Hold the probe of every factor that is no function of the embedding against all that stands beside it.

    Args:
        columns: factors of a table; its image files are read once.
        folds: of the probes.
        rng: draws images, landmarks and levels that mean nothing, and deals images into folds.
        groups: images that belong together, for the kernel; baselines and selectivity take images as independent.
        progress: show bars, on a terminal.
    """
    table = columns.table
    seen = measure_baselines(table.files, progress="measuring colours" if progress else None) if table.files else None
    kept = np.array(seen.kept if seen else (), dtype=np.int64)
    asked = {name: one for name, one in columns.factors.items() if one.source in ("label", "pixels")}
    found: dict[str, Beside] = {}
    with image_bar("probing beside" if progress else None, total=len(asked), unit="factors") as advance:
        for name, column in asked.items():
            nonlinear = fit_nonlinear(
                table.features, column.levels, table.labels, name=name, folds=folds, rng=rng, groups=groups
            )
            refused: list[tuple[str, str]] = [] if seen else [("baselines", "images come from no file")]
            baselines = _baselines(table, column, seen.values, kept, name, folds, rng, refused) if seen else ()
            selectivity = None
            try:
                selectivity = fit_selectivity(
                    table.features, column.levels, table.labels, name=name, folds=folds, rng=rng
                )
            except InputError as error:
                refused.append(("selectivity", str(error)))
            found[name] = Beside(nonlinear, baselines, selectivity, tuple(refused))
            advance()
    return found


def _baselines(
    table: EmbeddingTable,
    column: FactorColumn,
    values: Mapping[str, Float[np.ndarray, "_ _"]],
    kept: Int[np.ndarray, " _"],
    name: str,
    folds: int,
    rng: np.random.Generator,
    refused: list[tuple[str, str]],
) -> tuple[Baseline, ...]:
    try:
        return compare_baselines(
            table.features[kept], column.levels[kept], table.labels[kept], values, name=name, folds=folds, rng=rng
        )
    except InputError as error:  # files that have gone since leave a level too few images
        refused.append(("baselines", str(error)))
        return ()
