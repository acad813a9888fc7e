"""Other tools on the same fleet: are the training pictures of a flawed model suspected, and those of others left alone?

How to run: pip install --target FOLDER cleanlab cleanvision datasets dataeval
            PYTHONPATH=FOLDER OMP_NUM_THREADS=1 python analyses/fleet_tools.py        (after analyses/fleet.py)
Writes:     analyses/results/fleet_tools.json, of the models that are finished then.

cleanlab is under the AGPL and is no dependency of this project: only this comparison imports it, if it is installed.
Both tools look at data, not at a model: they are given the training pictures, which a diagnosis never sees. DataEval is
told the factors too, cleanlab measures pixels. What they can show is a correlation, not that a model pays for it.
"""

import contextlib
import io
import json
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from fleet import ASKED, RESULT, Size, reader, spec_of, training_samples
from fleet_judge import LARGE, STRENGTHS, Record, is_other, largest, share
from PIL import Image

from cdc.files import write_json

PARITY = {"score": 0.3, "p_value": 0.05}
"""DataEval's own thresholds of bias-corrected Cramér's V and of the G-test."""

DATALAB = 0.3
"""Datalab's own threshold: a property whose score is below it is reported."""


def suspected_by_parity(number: int, size: Size) -> list[str]:
    """Factors that DataEval's parity says go with the class, given their labels."""
    from dataeval.core import parity  # pyright: ignore[reportMissingImports]

    parts = training_samples(spec_of(number), size.trained)
    labels = np.concatenate([part.labels for part in parts])
    codes = np.column_stack([np.concatenate([part.levels[factor] for part in parts]) for factor in ASKED])
    found = parity(codes, labels)
    both = zip(ASKED, found["scores"], found["p_values"], strict=True)
    return [name for name, score, p_value in both if score >= PARITY["score"] and p_value <= PARITY["p_value"]]


def suspected_by_datalab(number: int, size: Size) -> list[str]:
    """Properties of the pictures that Datalab says go with the class."""
    from cleanlab import Datalab  # pyright: ignore[reportMissingImports]
    from datasets import Dataset, Features, Value  # pyright: ignore[reportMissingImports]
    from datasets import Image as Pictures  # pyright: ignore[reportMissingImports]

    spec = spec_of(number)
    parts = training_samples(spec, size.trained)
    side = reader(spec.backbone)._ends[1].shape[-1]  # pyright: ignore[reportPrivateUsage] - what the tower reads
    pictures = [Image.fromarray(one) for part in parts for one in part.render(size=side).permute(0, 2, 3, 1).numpy()]
    labels = np.concatenate([part.labels for part in parts]).tolist()
    kinds = Features({"image": Pictures(), "label": Value("int64")})
    with contextlib.redirect_stdout(io.StringIO()):
        lab = Datalab(
            Dataset.from_dict({"image": pictures, "label": labels}, kinds), label_name="label", image_key="image"
        )
        lab.find_issues(issue_types={"image_issue_types": PROPERTIES, "spurious_correlations": {}})
        table = lab.get_info("spurious_correlations")["correlations_df"]
    return table.property[table.score < DATALAB].tolist()


PROPERTIES: dict[str, Record] = {name: {} for name in ("dark", "light", "low_information", "grayscale", "blurry")}
"""What Datalab measures of a picture, sizes left out."""


def judge(models: list[Record], suspected: dict[int, list[str]], *, named: bool) -> Record:
    """Shares found and accused; a tool that names no factor is asked of models, not of factors."""
    row: Record = {"found": {}}
    for strength in STRENGTHS:
        flawed = [one for one in models if one["strength"] == strength]
        flawed = [one for one in flawed if largest(one["factors"][one["factor"]]) >= LARGE]
        hits = [
            one["factor"] in suspected[one["number"]] if named else bool(suspected[one["number"]]) for one in flawed
        ]
        row["found"][f"planted, {strength:g}"] = share(hits)
    if named:
        pairs = [(one, name, factor) for one in models for name, factor in one["factors"].items()]
        row["accused"] = share([name in suspected[one["number"]] for one, name, factor in pairs if is_other(factor)])
        unplanted = [name in suspected[one["number"]] for one, name, _ in pairs if name != one["factor"]]
        row["accused_where_nothing_was_planted"] = share(unplanted)
    else:
        clean = [bool(suspected[one["number"]]) for one in models if one["factor"] is None]
        row["accused_where_nothing_was_planted"] = share(clean)
    return row


def main() -> None:
    """Ask what is installed of every finished model, and write what it says."""
    models, size = json.loads(RESULT.read_text())["models"], Size()
    tools: Record = {}
    if find_spec("dataeval"):
        suspected = {one["number"]: suspected_by_parity(one["number"], size) for one in models}
        tools["DataEval parity"] = judge(models, suspected, named=True) | {"version": version("dataeval")}
    if find_spec("cleanlab") and find_spec("cleanvision"):
        suspected = {one["number"]: suspected_by_datalab(one["number"], size) for one in models}
        tools["cleanlab Datalab"] = judge(models, suspected, named=False) | {"version": version("cleanlab")}
        tools["cleanlab Datalab"]["suspected"] = {str(number): names for number, names in suspected.items()}
    write_json(RESULT.with_name("fleet_tools.json"), {"models": len(models), "tools": tools})
    print(json.dumps(tools, indent=1))


if __name__ == "__main__":
    main()
