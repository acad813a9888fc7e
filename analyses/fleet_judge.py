"""Judge a fleet's diagnoses by what is true of its models: shares found, accused wrongly, and intervals that hold."""

from dataclasses import asdict
from typing import Any

import numpy as np

from causalvlm.diagnosis.ladder import NEGLIGIBLE_SHARE
from causalvlm.intervals import Z, wilson

STRENGTHS = (1.0, 0.9, 0.75)
LARGE, SMALL, FEW = 0.05, 0.01, 0.02
"""Effects on accuracy that must be found, and that are none; the share of changed answers that is none."""

Record = dict[str, Any]


def share(hits: list[bool]) -> Record | None:
    """A share with Wilson's interval; None of nothing."""
    return {**asdict(wilson(sum(hits) / len(hits), len(hits))), "n": len(hits)} if hits else None


def largest(factor: Record) -> float:
    """The largest true effect on accuracy, over levels."""
    return max(abs(shift["accuracy"]) for shift in factor["truth"].values())


def is_other(factor: Record) -> bool:
    """Whether a factor truly does nothing that counts, at any level."""
    return largest(factor) < SMALL and max(shift["flips"] for shift in factor["truth"].values()) < FEW


CLAIMS = {
    "used": lambda said: said["used"] == "yes",
    "effect certain": lambda said: bool(said["effect"] and said["effect"]["certain"]),
    "light red": lambda said: said["light"] == "red",
}
"""What counts as found, or as an accusation where there is nothing."""


def summarise(models: list[Record]) -> list[Record]:
    """A row for every way to ask and every claim."""
    pairs = [(model, name, factor) for model in models for name, factor in model["factors"].items()]
    groups = {f"planted, {strength:g}": [one for one in pairs if _planted(one, strength)] for strength in STRENGTHS}
    groups["not planted"] = [one for one in pairs if one[1] != one[0]["factor"]]
    rows: list[Record] = []
    for asked in ("drawn_again", "observed"):
        for claim, holds in CLAIMS.items():
            row: Record = {"asked": asked, "claim": claim, "found": {}}
            for group, members in groups.items():
                row["found"][group] = share([holds(one[asked]) for *_, one in members if largest(one) >= LARGE])
            row["accused"] = share([holds(one[asked]) for *_, one in pairs if is_other(one)])
            still = [holds(one[asked]) for *_, one in pairs if largest(one) < SMALL]
            row["accused_of_moving_accuracy"] = share(still) if claim != "used" else None
            rows.append(row)
    return rows


def _planted(one: tuple[Record, str, Record], strength: float) -> bool:
    model, name, _ = one
    return name == model["factor"] and model["strength"] == strength


def coverage(models: list[Record]) -> Record:
    """How often 95 per cent intervals hold the true effect, and hold it but for the error of the truth itself.

    The back-door effect is that of the level whose estimate was largest, so that its interval was chosen.
    """
    intervals: dict[str, list[tuple[Record, Record]]] = {"drawn again": [], "back-door": []}
    for model in models:
        for factor in model["factors"].values():
            truth = factor["truth"]
            made = [(one["accuracy"], truth[one["level"]]) for one in factor["drawn_again"]["interventions"]]
            intervals["drawn again"] += made
            shift = factor["observed"]["back_door"]
            intervals["back-door"] += [(shift, truth[shift["level"]])] if shift else []
    return {
        how: {
            "covered": share([_holds(*one, 0.0) for one in found]),
            "beside_error": share([_holds(*one, Z) for one in found]),
        }
        for how, found in intervals.items()
    }


def errors(models: list[Record]) -> Record:
    """What drawing again missed of planted flaws, and lights that are red for less than red claims: true effects."""
    missed: list[float] = []
    red: dict[str, list[float]] = {"drawn_again": [], "observed": []}
    for model in models:
        for name, factor in model["factors"].items():
            if name == model["factor"] and largest(factor) >= LARGE and factor["drawn_again"]["light"] != "red":
                missed.append(largest(factor))
            for asked, found in red.items():
                if factor[asked]["light"] == "red" and largest(factor) < NEGLIGIBLE_SHARE:
                    found.append(largest(factor))
    return {"missed": missed, "red_for_less": red}


def _holds(interval: Record, truth: Record, errors: float) -> bool:
    half = np.hypot((interval["high"] - interval["low"]) / 2, errors * truth["standard_error"])
    middle = interval["value"] if errors else (interval["high"] + interval["low"]) / 2
    return bool(abs(truth["accuracy"] - middle) <= half)


def brief(model: Record) -> Record:
    """A model without the interventions, which are most of its record and stay in out/fleet."""
    ways = ("drawn_again", "observed")
    kept = {
        name: factor | {way: {key: said for key, said in factor[way].items() if key != "interventions"} for way in ways}
        for name, factor in model["factors"].items()
    }
    return model | {"factors": kept}
