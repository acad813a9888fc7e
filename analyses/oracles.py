"""The estimators beside other public implementations, on the same tables.

fd-cate (Jung) for the front door with binary treatment and mediator, DoubleML (Bach et al., JMLR 23, 2022) for double
machine learning and AIPW. DoubleML is given the same learners as ours; folds differ, and fd-cate's learners too, so
that single answers differ by a part of their standard errors. What must agree are their means, and the spread of both
around the truth. Two-stage least squares has no folds: it and linearmodels must agree on every table.

Run:    pip install fd-cate DoubleML                              (linearmodels comes with the dev extra)
        OMP_NUM_THREADS=1 python analyses/oracles.py [PAIR ...]  (about 15 minutes on 2 cores; other pairs are kept)
        OMP_NUM_THREADS=1 python analyses/oracles.py --smoke     (one table of each, writes nothing)
Expect: no mean difference beyond its 95 % interval by more than chance, and no bias of ours.
Writes: analyses/results/oracles.json; `analyses/tables.py` puts it into docs/acceptance.md.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import causalvlm
import cdc
from causalvlm.identification.estimands import BackDoor, FrontDoor, Instrument
from causalvlm.worlds.embedding import CovariateWorld
from cdc.files import write_json

RESULTS = Path(__file__).parent / "results" / "oracles.json"
RUNS = 100
WIDTH = 8
COVARIATES = [f"Z{place}" for place in range(WIDTH)]


def binary_mediator(rng: np.random.Generator) -> pd.DataFrame:
    """Front door with a covariate, a binary mediator (the process of Guo, Benkeser, Nabi 2023)."""
    return CovariateWorld(binary=True).sample(2000, rng=rng)


def interacting(rng: np.random.Generator) -> pd.DataFrame:
    """Front door with eight covariates, one of which changes how far the treatment moves a binary mediator."""
    c, u = rng.normal(size=(2000, WIDTH)), rng.normal(size=2000)
    x = rng.random(2000) < 1 / (1 + np.exp(-0.5 * c[:, 0] - 0.8 * u))
    s = rng.random(2000) < mediated(c, x)
    columns = dict(zip(COVARIATES, c.T, strict=True))
    y = 1.5 * s + c[:, 1] + u + rng.normal(size=2000)
    return pd.DataFrame({**columns, "X": x.astype(int), "S": s.astype(int), "Y": y})


def mediated(c: np.ndarray, x: np.ndarray | float) -> np.ndarray:
    """P(S = 1 | x, c) of `interacting`."""
    return 1 / (1 + np.exp(0.5 - (1.0 + 0.5 * c[:, 1]) * x - 0.5 * c[:, 2]))


def interacting_truth() -> float:
    """1.5 (E[P(S = 1 | 1, C)] - E[P(S = 1 | 0, C)])."""
    c = np.random.default_rng(0).normal(size=(2_000_000, WIDTH))
    return float(1.5 * (mediated(c, 1.0) - mediated(c, 0.0)).mean())


def partially_linear(rng: np.random.Generator) -> pd.DataFrame:
    """Continuous treatment of slope 0.5, nuisances of sines and logistics (after Chernozhukov et al. 2018)."""
    z = rng.normal(size=(1000, WIDTH))
    x = np.sin(z[:, 0]) + 0.5 * z[:, 1] + rng.normal(size=1000)
    y = 0.5 * x + 1 / (1 + np.exp(-z[:, 0])) + np.cos(z[:, 1]) + 0.5 * z[:, 2] + rng.normal(size=1000)
    return pd.DataFrame({**dict(zip(COVARIATES, z.T, strict=True)), "X": x, "Y": y})


def levels(rng: np.random.Generator) -> pd.DataFrame:
    """Binary treatment of effect 1 + the second covariate, logistic in two of eight covariates."""
    z = rng.normal(size=(1500, WIDTH))
    x = (rng.random(1500) < 1 / (1 + np.exp(-0.7 * z[:, 0] + 0.5 * z[:, 1]))).astype(int)
    y = x * (1 + z[:, 1]) + z[:, 0] + z[:, 2] ** 2 + rng.normal(size=1500)
    return pd.DataFrame({**dict(zip(COVARIATES, z.T, strict=True)), "X": x, "Y": y})


def pushed(rng: np.random.Generator) -> pd.DataFrame:
    """An instrument of some strength, confounded by a covariate; slope 1, noise that grows with the instrument."""
    w, u = rng.normal(size=(2, 1000))
    z = 0.7 * w + rng.normal(size=1000)
    x = 0.5 * z + 0.5 * w + u + rng.normal(size=1000)
    y = x + 2 * u + w + (1 + 0.5 * np.abs(z)) * rng.normal(size=1000)
    return pd.DataFrame({"Z": z, "W": w, "X": x, "Y": y})


def two_stages(table: pd.DataFrame) -> float:
    """Two-stage least squares of linearmodels."""
    from linearmodels.iv import IV2SLS

    return float(IV2SLS(table.Y, table[["W"]].assign(one=1.0), table[["X"]], table[["Z"]]).fit().params["X"])


def fd_cate(table: pd.DataFrame, covariates: list[str], seed: int) -> float:
    """fd-cate's doubly robust learner with its defaults."""
    from fd_cate import FDCATE

    given = table[covariates].to_numpy()
    return FDCATE(method="fd-dr", random_state=seed, n_jobs=1).fit(given, table.Y, t=table.X, m=table.S).ate_


def trees(*, classes: bool) -> tuple[BaseEstimator, BaseEstimator]:
    """Boosted trees of the outcome, and of a treatment with levels or without."""
    settings = {"max_iter": 100, "max_leaf_nodes": 8, "learning_rate": 0.05, "random_state": 0}
    treatment = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return HistGradientBoostingRegressor(**settings), treatment(**settings)


def double_ml(table: pd.DataFrame, seed: int, *, interactive: bool) -> float:
    """DoubleML's partially linear or interactive regression with boosted trees, five folds."""
    import doubleml

    np.random.seed(seed)  # noqa: NPY002 - DoubleML draws its folds from the global state
    data = doubleml.DoubleMLData(table, y_col="Y", d_cols="X", x_cols=COVARIATES)
    model = doubleml.DoubleMLIRM if interactive else doubleml.DoubleMLPLR
    return float(model(data, *trees(classes=interactive), n_folds=5).fit().coef[0])


@dataclass(frozen=True)
class Pair:
    """Two implementations of one estimate."""

    draw: Callable[[np.random.Generator], pd.DataFrame]
    truth: Callable[[], float]
    ours: Callable[[pd.DataFrame, np.random.Generator], float]
    theirs: Callable[[pd.DataFrame, int], float]
    package: str


def front(table: pd.DataFrame, rng: np.random.Generator, covariates: list[str], estimator: str = "one-step") -> float:
    """Ours through the front door."""
    estimand = FrontDoor("X", "Y", ("S",), tuple(covariates))
    return causalvlm.estimate_effect(table, estimand, rng=rng, estimator=estimator).value


def back(table: pd.DataFrame, rng: np.random.Generator, *, classes: bool) -> float:
    """Ours through the back door, with the same trees."""
    outcome, treatment = trees(classes=classes)
    estimand = BackDoor("X", "Y", tuple(COVARIATES))
    return causalvlm.estimate_effect(table, estimand, rng=rng, outcome_model=outcome, treatment_model=treatment).value


PAIRS = {
    "front door, one covariate: one-step, fd-cate": Pair(
        binary_mediator,
        CovariateWorld(binary=True).truth,
        lambda table, rng: front(table, rng, ["C"]),
        lambda table, seed: fd_cate(table, ["C"], seed),
        "fd-cate",
    ),
    "front door, eight covariates: one-step, fd-cate": Pair(
        interacting,
        interacting_truth,
        lambda table, rng: front(table, rng, COVARIATES),
        lambda table, seed: fd_cate(table, COVARIATES, seed),
        "fd-cate",
    ),
    "partially linear: partially-linear, DoubleML PLR": Pair(
        partially_linear,
        lambda: 0.5,
        lambda table, rng: back(table, rng, classes=False),
        lambda table, seed: double_ml(table, seed, interactive=False),
        "DoubleML",
    ),
    "binary treatment: aipw, DoubleML IRM": Pair(
        levels,
        lambda: 1.0,
        lambda table, rng: back(table, rng, classes=True),
        lambda table, seed: double_ml(table, seed, interactive=True),
        "DoubleML",
    ),
    "instrument, one covariate: two-stage-least-squares, linearmodels IV2SLS": Pair(
        pushed,
        lambda: 1.0,
        lambda table, rng: causalvlm.estimate_effect(table, Instrument("X", "Y", "Z", ("W",)), rng=rng).value,
        lambda table, _: two_stages(table),
        "linearmodels",
    ),
}


def one_run(name: str, run: int) -> tuple[float, float]:
    """Ours and theirs on one table."""
    pair, rng = PAIRS[name], np.random.default_rng([run, 40])
    table = pair.draw(rng)
    return pair.ours(table, rng), pair.theirs(table, run)


def measure(name: str, runs: int, pool: ProcessPoolExecutor) -> dict[str, object]:
    """Means, spreads, and the paired difference with its interval."""
    found = np.array(list(pool.map(one_run, [name] * runs, range(runs))))
    difference = found[:, 0] - found[:, 1]
    middle = float(difference.mean())
    half = float(1.96 * difference.std(ddof=1) / np.sqrt(runs)) if runs > 1 else float("nan")
    question, _, implementations = name.partition(": ")
    ours, theirs = implementations.split(", ")
    return {
        "question": question,
        "ours": ours,
        "theirs": f"{theirs} {version(PAIRS[name].package)}",
        "runs": runs,
        "truth": PAIRS[name].truth(),
        "mean_ours": float(found[:, 0].mean()),
        "mean_theirs": float(found[:, 1].mean()),
        "sd_ours": float(found[:, 0].std(ddof=1)) if runs > 1 else None,
        "sd_theirs": float(found[:, 1].std(ddof=1)) if runs > 1 else None,
        "difference": {"value": middle, "low": middle - half, "high": middle + half},
        "largest_difference": float(np.abs(difference).max()),
    }


def main(wanted: Sequence[str], *, smoke: bool) -> None:
    """Every pair that is wanted, printed as it comes; the result keeps the others that are there."""
    kept = json.loads(RESULTS.read_text())["pairs"] if RESULTS.exists() else []
    known = {row["question"]: row for row in kept}
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for name in wanted:
            row = measure(name, 1 if smoke else RUNS, pool)
            known[str(row["question"])] = {**row, "provenance": cdc.provenance()}
            print(row, flush=True)
    if not smoke:
        questions = [name.partition(": ")[0] for name in PAIRS]
        write_json(RESULTS, {"pairs": [known[question] for question in questions if question in known]})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", help=f"of {', '.join(PAIRS)}; all by default")
    parser.add_argument("--smoke", action="store_true", help="one table of each, nothing written")
    arguments = parser.parse_args()
    main(arguments.pairs or list(PAIRS), smoke=arguments.smoke)
