"""Results from records made by hand: averages, paired differences against scipy, and tables as they are read."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import cdc
from cdc.protocols.published import PUBLISHED
from cdc.protocols.tables import comma_separated, latex, markdown, timings

BASE = {"coop": 0.6, "cdc_100%": 0.7}


def record(dataset: str, method: str, seed: int, *, base: float) -> dict:
    scores = {"accuracy": base, "ece": 0.1, "aurc": 0.2, "n": 10}
    return {
        "dataset": dataset, "method": method, "seed": seed, "settings": {"shots": 16}, "base": scores,
        "new": scores | {"accuracy": 0.5}, "joint": scores, "harmonic_mean": cdc.harmonic_mean(base, 0.5),
        "ood_auroc": 0.8, "ood_auroc_energy": None, "openworld_auc": 0.3, "augmentation": "crop-flip", "parameters": 5,
        "seconds": 1.25, "peak_memory": 1000,
    }  # fmt: skip


@pytest.fixture
def result() -> cdc.ProtocolResult:
    rng = np.random.default_rng(0)
    runs = tuple(
        record(dataset, method, seed, base=base + float(rng.uniform(-0.1, 0.1)))
        for dataset in ("pets", "cars", "food")
        for method, base in BASE.items()
        for seed in (1, 2, 3)
    )
    return cdc.ProtocolResult(
        "base-to-new", "picto", (16,), (1, 2, 3), dict.fromkeys(BASE, "shots"), reference="coop", runs=runs
    )


def accuracies(result, method) -> np.ndarray:
    """[data sets, seeds]."""
    return np.reshape([run["base"]["accuracy"] for run in result.runs if run["method"] == method], (3, 3))


def test_paired_differences_are_those_of_a_t_test_over_data_sets(result):
    found = result.paired("cdc_100%", "coop")["base_accuracy"]
    means = (accuracies(result, "cdc_100%") - accuracies(result, "coop")).mean(1)
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((means.mean(), expected.low, expected.high))
    assert (found.datasets, found.pairs) == (3, 9)


def test_pairs_that_one_method_lacks_play_no_part(result):
    less = replace(result, runs=result.runs[:-1])
    found = less.paired("cdc_100%", "coop")["base_accuracy"]
    differences = accuracies(result, "cdc_100%") - accuracies(result, "coop")
    assert found.pairs == 8
    assert found.mean == pytest.approx(
        np.mean([differences[0].mean(), differences[1].mean(), differences[2, :2].mean()])
    )


def test_one_data_set_has_no_interval(result):
    one = replace(result, runs=result.runs[:6])
    found = one.paired("cdc_100%", "coop")["base_accuracy"]
    assert (found.low, found.high, found.datasets) == (None, None, 1)
    assert "| cdc_100% | +" in markdown(one)


def test_an_unknown_method_cannot_be_compared(result):
    with pytest.raises(cdc.InputError, match="methods of this grid are coop, cdc_100%; received 'maple'"):
        result.paired("maple", "coop")


def test_averages_and_both_harmonic_means(result):
    average = next(row for row in result.table() if row.method == "coop")
    values = accuracies(result, "coop")
    assert average.means["base_accuracy"] == pytest.approx(values.mean())
    assert average.means["harmonic_mean_of_means"] == pytest.approx(cdc.harmonic_mean(values.mean(), 0.5))
    assert average.means["harmonic_mean"] == pytest.approx(np.mean([cdc.harmonic_mean(v, 0.5) for v in values.flat]))
    pets = next(row for row in result.table() if row.dataset == "pets")
    assert pets.stds["base_accuracy"] == pytest.approx(values[0].std())
    assert pets.means["harmonic_mean_of_means"] == pytest.approx(cdc.harmonic_mean(values[0].mean(), 0.5))


def test_csv_reads_back(result):
    rows = list(csv.DictReader(io.StringIO(comma_separated(result))))
    assert [row["dataset"] for row in rows] == ["", "", "pets", "pets", "cars", "cars", "food", "food"]
    assert float(rows[0]["base_accuracy_mean"]) == pytest.approx(accuracies(result, "coop").mean(), abs=1e-6)
    assert rows[0]["base_accuracy_std"] == ""
    assert rows[2]["seeds"] == "3"
    assert "ood_auroc_energy_mean" not in rows[0]


def test_markdown_rows_have_the_cells_of_their_heads(result):
    text = markdown(result)
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) <= 1
    assert "Published" not in text
    mean, std = 100 * accuracies(result, "coop")[0].mean(), 100 * accuracies(result, "coop")[0].std()
    assert f"| pets | coop | 3 | {mean:.2f} ± {std:.2f} |" in text


def test_published_averages_stand_beside_the_model_that_they_belong_to(result):
    text = markdown(replace(result, backbone="ViT-B-16"))
    assert "| CLIP | nothing | 69.34 | 74.22 | 71.70 | README of MaPLe" in text
    for row in PUBLISHED:
        assert cdc.harmonic_mean(row.base, row.new) == pytest.approx(row.harmonic_mean, abs=0.02)


def test_latex_is_escaped_and_rectangular(result):
    text = latex(result)
    assert r"cdc\_100\%" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.count(" & ") for line in rows}) == 1
    assert text.count(r"\midrule") == 4
    assert "±" not in text


def test_times_are_in_a_file_of_their_own(result):
    assert "seconds" not in markdown(result) + comma_separated(result) + latex(result)
    assert timings(result).splitlines()[1] == "pets,coop,16,1,1.250,1000"


def test_a_grid_without_runs_has_tables_all_the_same(result):
    empty = replace(result, runs=(), failed=())
    assert comma_separated(empty).count("\n") == 1
    assert "Average" not in markdown(empty)
    assert empty.to_record()["paired"] == {"cdc_100%": {}}
