"""What a protocol found: its runs, and the numbers that they come to."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from cdc.errors import InputError
from cdc.protocols.protocol import Column, Record, Skipped
from cdc.protocols.registry import find_protocol
from cdc.protocols.spreads import Difference, Spread


@dataclass(frozen=True)
class Failed:
    """A run that came to nothing; the others stand.

    Attributes:
        run: method, data set and seed.
        reason: why, in a line.
    """

    run: str
    reason: str


@dataclass(frozen=True)
class Row:
    """A method on one data set, or on average.

    Attributes:
        dataset: its name; None for the average over data sets.
        method: its label.
        sees: what it was allowed to learn from.
        augmentation: of its training images, see `cdc.ViewPlan`; None if it does not train.
        seeds: how many there are; on average, the fewest of any data set.
        datasets: how many the row stands for.
        means: of every score over seeds, or over the data sets' means.
        stds: population standard deviation over seeds; empty for the average and for what is derived from means.
    """

    dataset: str | None
    method: str
    sees: str
    augmentation: str | None
    seeds: int
    datasets: int
    means: Mapping[str, float]
    stds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class ProtocolResult:
    """Every run of a protocol, and what they come to.

    Attributes:
        protocol: its name.
        backbone: name of the frozen model.
        shots: training images per class; several in few-shot.
        seeds: what every method was run with.
        methods: label of every method, and what it was allowed to learn from.
        reference: label of the method that the others are compared with.
        runs: records, in the order of the grid.
        skipped: data sets that play no part.
        failed: runs that came to nothing.
    """

    protocol: str
    backbone: str
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    methods: Mapping[str, str]
    reference: str
    runs: tuple[Record, ...]
    skipped: tuple[Skipped, ...] = ()
    failed: tuple[Failed, ...] = ()

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        methods = f"{len(self.methods)} method{'s' * (len(self.methods) > 1)}"
        return f"<ProtocolResult of {self.protocol} on {self.backbone}: {len(self.runs)} runs of {methods}{failed}>"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The scores that tables show."""
        return find_protocol(self.protocol).columns(self.shots)

    def table(self) -> tuple[Row, ...]:
        """The average of every method, then every data set with every method.

        The average is over the data sets that the method has runs on: `Row.datasets` tells where a method lacks some.
        """
        single = [
            self._row(dataset, method, by_seed) for (dataset, method), by_seed in self._numbers.items() if by_seed
        ]
        averages = [self._average([row for row in single if row.method == method]) for method in self.methods]
        return (*filter(None, averages), *single)

    def paired(self, first: str, second: str) -> dict[str, Difference]:
        """By how much `first` exceeds `second` in every score, over the (data set, seed) pairs that both have.

        Raises:
            InputError: if a method is not in the grid.
        """
        for label in (first, second):
            if label not in self.methods:
                raise InputError(f"methods of this grid are {', '.join(self.methods)}; received {label!r}.")
        differences: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for dataset in dict.fromkeys(dataset for dataset, _ in self._numbers):
            mine, others = (self._numbers.get((dataset, label), {}) for label in (first, second))
            for seed in sorted(mine.keys() & others.keys()):
                for metric in mine[seed].keys() & others[seed].keys():
                    differences[metric][dataset].append(mine[seed][metric] - others[seed][metric])
        return {metric: Difference.of(pairs) for metric, pairs in sorted(differences.items())}

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON: the runs, every row of the table, and the differences from the reference."""
        others = [label for label in self.methods if label != self.reference]
        compared = {label: self.paired(label, self.reference) for label in others}
        return {
            "protocol": self.protocol,
            "backbone": self.backbone,
            "shots": list(self.shots),
            "seeds": list(self.seeds),
            "methods": dict(self.methods),
            "reference": self.reference,
            "runs": [dict(run) for run in self.runs],
            "table": [asdict(row) for row in self.table()],
            "paired": {
                label: {metric: asdict(difference) for metric, difference in found.items()}
                for label, found in compared.items()
            },
            "skipped": [asdict(item) for item in self.skipped],
            "failed": [asdict(item) for item in self.failed],
        }

    @cached_property
    def _augmentations(self) -> dict[str, str | None]:
        return {run["method"]: run["augmentation"] for run in self.runs}

    @cached_property
    def _numbers(self) -> dict[tuple[str, str], dict[int, dict[str, float]]]:
        """Numbers by (data set, method), then by seed; runs of other shots add theirs to the same seed."""
        observe = find_protocol(self.protocol).observe
        found: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
        for run in self.runs:
            for dataset, numbers in observe(run).items():
                by_seed = found.setdefault((dataset, run["method"]), {})
                by_seed[run["seed"]] = by_seed.get(run["seed"], {}) | dict(numbers)
        return found

    def _row(self, dataset: str, method: str, by_seed: Mapping[int, Mapping[str, float]]) -> Row:
        metrics = dict.fromkeys(metric for numbers in by_seed.values() for metric in numbers)
        spreads = {
            metric: Spread.of([numbers[metric] for numbers in by_seed.values() if metric in numbers])
            for metric in metrics
        }
        means = {metric: spread.mean for metric, spread in spreads.items()}
        stds = {metric: spread.std for metric, spread in spreads.items()}
        facts = (method, self.methods[method], self._augmentations[method])
        return Row(dataset, *facts, len(by_seed), 1, self._with_derived(means), stds)

    def _average(self, rows: list[Row]) -> Row | None:
        if not rows:
            return None
        metrics = dict.fromkeys(metric for row in rows for metric in row.stds)
        means = {
            metric: Spread.of([row.means[metric] for row in rows if metric in row.means]).mean for metric in metrics
        }
        seeds = min(row.seeds for row in rows)
        facts = (rows[0].method, rows[0].sees, rows[0].augmentation)
        return Row(None, *facts, seeds, len(rows), self._with_derived(means))

    def _with_derived(self, means: dict[str, float]) -> dict[str, float]:
        return means | dict(find_protocol(self.protocol).derive(means))
