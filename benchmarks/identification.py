"""Time of `identify` as mediators grow in number, and how often its front-door set is not the smallest there is.

Times are CPU seconds, best of five. Random graphs have up to three nodes before X, up to four between X and Y, and a
hidden cause of X and Y; the smallest set is looked up among all minimal ones that `adjustment_sets` lists, which the
tests hold against the definitions.

Run:    .venv/bin/python benchmarks/identification.py            (about 4 minutes on one core)
        .venv/bin/python benchmarks/identification.py --smoke    (seconds, writes nothing)
Expect: below 0.05 s for 20 mediators whatever the graph; fewer than 1 in 1,000 sets larger than need be
Writes: benchmarks/results/identification.json
"""

import argparse
import contextlib
import itertools
import random
import time
from pathlib import Path

import cdc
from causalvlm.errors import NotIdentifiedError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.identification.estimands import FrontDoor
from causalvlm.identification.identify import adjustment_sets, identify
from cdc.files import write_json

RESULT = Path(__file__).parent / "results" / "identification.json"
MEDIATORS = (10, 20, 50, 100)
GRAPHS, SEED = 10_000, 1


def wide_graphs(count: int) -> dict[str, CausalGraph]:
    """X and Y with `count` mediators: side by side, in a row, confounded by an observed node, and leaking."""
    names = [f"S{index}" for index in range(count)]
    parallel = [*(("X", name) for name in names), *((name, "Y") for name in names)]
    hidden = [("X", "Y")]
    return {
        "parallel": CausalGraph(parallel, bidirected=hidden),
        "chain": CausalGraph(itertools.pairwise(["X", *names, "Y"]), bidirected=hidden),
        "covariate": CausalGraph([*parallel, ("C", "X"), ("C", "S0"), ("C", "Y")], bidirected=hidden),
        "leak": CausalGraph(parallel, bidirected=[*hidden, ("X", "S0"), ("S1", "Y")]),
    }


def seconds(graph: CausalGraph) -> float:
    """CPU time of one front-door identification, reasons and remedies included where it fails; best of five."""
    times: list[float] = []
    for _ in range(5):
        start = time.process_time()
        with contextlib.suppress(NotIdentifiedError):
            identify(graph, treatment="X", outcome="Y", strategy="front-door")
        times.append(time.process_time() - start)
    return min(times)


def random_graph(draw: random.Random) -> CausalGraph:
    """A graph of 3 to 9 nodes on which the front door mostly has something to do."""
    before, between = list("BCD"[: draw.randint(0, 3)]), list("STUV"[: draw.randint(1, 4)])
    order = [*before, "X", *between, "Y"]
    chain = set(itertools.pairwise(["X", *between, "Y"]))
    density, hidden = draw.choice([0.2, 0.4, 0.6]), draw.choice([0.03, 0.12])
    pairs = [pair for pair in itertools.combinations(order, 2) if pair != ("X", "Y")]
    return CausalGraph(
        [pair for pair in pairs if draw.random() < (0.8 if pair in chain else density)],
        bidirected=[("X", "Y"), *(pair for pair in pairs if draw.random() < hidden)],
        nodes=order,
    )


def count_sizes(graphs: int) -> dict[str, int]:
    """How many graphs have a front-door set, how many only with covariates, and how often a smaller set exists."""
    counts = {"graphs": graphs, "front_door": 0, "with_covariates": 0, "not_smallest": 0}
    draw = random.Random(SEED)
    for _ in range(graphs):
        graph = random_graph(draw)
        try:
            found = identify(graph, treatment="X", outcome="Y", strategy="front-door")
        except NotIdentifiedError:
            continue
        smallest, *_ = adjustment_sets(graph, treatment="X", outcome="Y", strategy="front-door", limit=10_000)
        counts["front_door"] += 1
        match found, smallest:
            case FrontDoor(), FrontDoor():
                counts["with_covariates"] += bool(found.covariates)
                counts["not_smallest"] += size(found) > size(smallest)
            case _:
                raise RuntimeError(f"a front door was asked for; received {found} and {smallest}")
    return counts


def size(estimand: FrontDoor) -> tuple[bool, int]:
    """Sets without covariates come first."""
    return bool(estimand.covariates), len(estimand.mediators) + len(estimand.covariates)


def main(*, smoke: bool) -> None:
    """Measure, print and write."""
    mediators = MEDIATORS[:2] if smoke else MEDIATORS
    times = {str(count): {name: seconds(graph) for name, graph in wide_graphs(count).items()} for count in mediators}
    for count, row in times.items():
        print(count, "mediators:", ", ".join(f"{name} {1e3 * spent:.1f} ms" for name, spent in row.items()))
    sizes = count_sizes(100 if smoke else GRAPHS)
    print(sizes)
    if not smoke:
        write_json(RESULT, {"seconds": times, "sizes": sizes, "seed": SEED, "provenance": cdc.provenance("cpu")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time and optimality of identify.")
    parser.add_argument("--smoke", action="store_true")
    main(smoke=parser.parse_args().smoke)
