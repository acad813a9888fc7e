"""Time and memory of `diagnose` on embeddings, as images and dimensions grow.

Ten classes, five labelled factors of three levels: three that the embedding shows, two that go with the class. Every
size runs in a process of its own: CPU seconds on one thread, without imports, and the largest resident memory of that
process, the embeddings included.

Run:    OMP_NUM_THREADS=1 python benchmarks/diagnosis.py            (about 10 minutes on one core)
        OMP_NUM_THREADS=1 python benchmarks/diagnosis.py --smoke    (the smallest size, writes nothing)
Expect: 100,000 images of 512 dimensions in less than 120 s; hardly more time for ten times the images from there on,
        because probes read at most 5,000 of them and estimators 10,000
Writes: benchmarks/results/diagnosis.json
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import cdc
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.embeddings.table import EmbeddingTable
from cdc.files import write_json

RESULT = Path(__file__).parent / "results" / "diagnosis.json"
SIZES = ((1_000, 512), (10_000, 64), (10_000, 512), (100_000, 64), (100_000, 512), (100_000, 768))
CLASSES, FACTORS, SHOWN, SEED = 10, 5, 3, 1


def draw(rows: int, dim: int) -> EmbeddingTable:
    """Embeddings around class means, moved by the levels of some factors; answers by the nearest class mean."""
    rng = np.random.default_rng([SEED, rows, dim])
    labels, means = rng.integers(CLASSES, size=rows), rng.normal(size=(CLASSES, dim)).astype(np.float32)
    features = means[labels] + rng.normal(size=(rows, dim)).astype(np.float32)
    factors: dict[str, np.ndarray] = {}
    for place in range(FACTORS):
        share = np.where((labels + place) % CLASSES < 3, 0.6, 0.2) if place % 2 else np.full(rows, 1 / 3)
        level = np.where(rng.random(rows) < share, 0, rng.integers(1, 3, size=rows))
        factors[f"factor {place + 1}"] = np.array(["a", "b", "c"])[level]
        if place < SHOWN:
            features += 0.5 * rng.normal(size=(3, dim)).astype(np.float32)[level]
    logits = (features - means.mean(0)) @ (means - means.mean(0)).T / dim + 0.5 * rng.normal(size=(rows, CLASSES))
    names = tuple(f"class {place + 1}" for place in range(CLASSES))
    return EmbeddingTable(features=features, logits=logits, labels=labels, factors=factors, class_names=names)


def measure(rows: int, dim: int) -> dict[str, float]:
    """CPU seconds and peak memory of one diagnosis, in this process."""
    table = draw(rows, dim)
    start = time.process_time()
    found = diagnose(table, rng=SEED)
    seconds = time.process_time() - start
    if len(found.factors) != FACTORS:
        raise AssertionError(f"{len(found.factors)} factors diagnosed of {FACTORS}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"rows": rows, "dim": dim, "cpu_seconds": round(seconds, 1), "peak_gb": round(peak / 1e9, 2)}


def main(*, smoke: bool) -> None:
    """Every size, or the smallest."""
    found: list[dict[str, float]] = []
    for rows, dim in SIZES[:1] if smoke else SIZES:
        command = [sys.executable, "-W", "ignore", __file__, "--size", str(rows), str(dim)]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(found[-1], flush=True)
    if not smoke:
        write_json(RESULT, {"factors": FACTORS, "classes": CLASSES, "sizes": found, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="the smallest size, nothing written")
    parser.add_argument("--size", nargs=2, type=int, metavar=("ROWS", "DIM"), help="one size, as JSON on stdout")
    arguments = parser.parse_args()
    if arguments.size:
        print(json.dumps(measure(*arguments.size)))
    else:
        main(smoke=arguments.smoke)
