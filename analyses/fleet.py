"""A fleet of models with known flaws: what a diagnosis finds of planted correlations, and what it accuses wrongly.

How to run: OMP_NUM_THREADS=1 python analyses/fleet.py --minutes 8     (again and again until it says that all is done)
            OMP_NUM_THREADS=1 python analyses/fleet.py --smoke         (a minute or two, writes nothing)
Writes:     analyses/results/fleet.json; embeddings of the pictures and finished models are kept in out/fleet.

A model is a logistic head on a bundled tower. Its training pictures are without confounding, but for one factor, one
level of which goes with three of the ten classes: with probability `strength` a picture has the level if it is of these
classes, and another level if not (after Varma et al., RaVL, NeurIPS 2024). A third of the models is trained without.
Training pictures, diagnosed pictures and those that give the truth are drawn apart; models share the latter two in
their pool, so that what is found of them is not independent.

The truth of every model and factor comes from drawing other pictures again with the factor at every level. A factor
with an effect of 5 points or more on accuracy should be found; one that moves accuracy by less than a point and changes
less than 2 % of answers, at every level, must not be accused. Every model is diagnosed twice: as it is, with pictures
that can be drawn again, and as if they could not be, from observation alone.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from fleet_judge import LARGE, STRENGTHS, Record, brief, coverage, errors, is_other, largest, summarise
from jaxtyping import Float, Int, UInt8
from PIL import Image
from sklearn.linear_model import LogisticRegression

import causalvlm
import causalvlm.diagnosis.diagnose
import causalvlm.estimation.propensity
import cdc
from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
from causalvlm.diagnosis.settings import Setting
from causalvlm.embeddings.model import Model, Pictures, model_of
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.reader import PictoReader, read_with
from causalvlm.worlds.picto.scm import PictoSample, PictoWorld
from cdc.files import write_json

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "analyses" / "results" / "fleet.json"
CACHE = ROOT / "out" / "fleet"
COLLECTION = "vehicles"
CLASSES = 10
PLANTED_CLASSES = 3
ASKED = ("style", "background", "background_colour", "tint", "scale", "quality")
POOLS = (
    ("picto", "unconfounded"),
    ("picto-unconfounded", "downstream"),
    ("picto", "downstream"),
    ("picto-unconfounded", "unconfounded"),
)
WORLDS = {
    "unconfounded": PictoWorld((COLLECTION,), strength=0.0),
    "downstream": PictoWorld((COLLECTION,), regime="downstream"),
}
SEED = 17


@dataclass(frozen=True)
class Size:
    """How much is done."""

    models: int = 90
    trained: int = 500
    diagnosed: int = 400
    truths: int = 1000


@dataclass(frozen=True)
class Spec:
    """One model of the fleet; `factor` is None where nothing is planted."""

    number: int
    backbone: str
    world: str
    factor: str | None = None
    level: str | None = None
    classes: tuple[int, ...] = ()
    strength: float = 0.0


def spec_of(number: int) -> Spec:
    """Two models with a flaw, then one without; each 27 are in one pool and have every factor at every strength."""
    (turn, place), pool = divmod(number, 3), POOLS[number // 27 % len(POOLS)]
    if place == 2:
        return Spec(number, *pool)
    planted = 2 * turn + place
    factor, strength = ASKED[planted % len(ASKED)], STRENGTHS[planted // len(ASKED) % len(STRENGTHS)]
    rng = np.random.default_rng([SEED, number])
    level = str(rng.choice(FACTORS[factor][1:]))
    classes = tuple(sorted(rng.choice(CLASSES, PLANTED_CLASSES, replace=False).tolist()))
    return Spec(number, *pool, factor, level, classes, strength)


def draw(world: PictoWorld, n: int, rng: np.random.Generator) -> PictoSample:
    """Pictures of the first classes of a world."""
    sample = world.sample(8 * n, rng=rng)
    rows = np.flatnonzero(sample.labels < CLASSES)[:n]
    return replace(sample, noise=sample.noise[rows])


@cache
def reader(backbone: str) -> PictoReader:
    """The tower, once."""
    torch.set_num_threads(1)
    return read_with(cdc.load_backbone(backbone), WORLDS["unconfounded"].concepts[:CLASSES])


@dataclass(frozen=True, eq=False)
class Pool:
    """Pictures that several models are asked about: as they are, and with each factor at each level.

    Attributes:
        sample: the pictures.
        features: embeddings by factor and level; ``("", "")`` is the picture as it is.
    """

    sample: PictoSample
    features: dict[tuple[str, str], Float[np.ndarray, "rows dim"]]


SETTINGS = (("", ""), *((factor, level) for factor in ASKED for level in FACTORS[factor]))
"""What pictures are set to: nothing, then every factor to every level."""


def pool_of(backbone: str, world: str, part: str, n: int, *, keep: bool = True) -> Pool:
    """The pool of a tower and a world; what is encoded is kept."""
    rng = np.random.default_rng([SEED, POOLS.index((backbone, world)), int(part == "truth"), n])
    sample = draw(WORLDS[world], n, rng)
    features: dict[tuple[str, str], Float[np.ndarray, "rows dim"]] = {}
    for factor, level in SETTINGS:
        path = CACHE / f"{backbone}_{world}_{part}_{n}_{factor}_{level}.npy"
        if keep and path.exists():
            features[factor, level] = np.load(path)
            continue
        features[factor, level] = _encode(backbone, sample, {factor: level} if factor else {})
        if keep:
            CACHE.mkdir(parents=True, exist_ok=True)
            np.save(path.with_suffix(".part.npy"), features[factor, level])
            path.with_suffix(".part.npy").replace(path)
    return Pool(sample, features)


def _encode(backbone: str, sample: PictoSample, do: dict[str, str]) -> Float[np.ndarray, "rows dim"]:
    with torch.no_grad():
        return reader(backbone).features(sample.intervene(do)).cpu().numpy()


@dataclass(frozen=True, eq=False)
class Album:
    """The pictures of a pool, drawn once at every setting, and their embeddings by their pixels."""

    pool: Pool
    backbone: str
    drawn: dict[tuple[str, str], UInt8[np.ndarray, "rows _ _ 3"]]
    known: dict[bytes, Float[np.ndarray, " dim"]]

    def picture(self, factor: str, row: int, level: str) -> Image.Image:
        """A picture with a factor set."""
        return Image.fromarray(self.drawn[factor, level][row])

    def encode(self, pictures: Pictures) -> Float[np.ndarray, "rows dim"]:
        """Embeddings; those of the album are looked up."""
        if all(one.tobytes() in self.known for one in pictures):
            return np.stack([self.known[one.tobytes()] for one in pictures])
        encode = model_of(reader(self.backbone).adapter).encode
        assert encode is not None  # noqa: S101 - a zero-shot model reads embeddings
        return encode(pictures)


def album_of(backbone: str, pool: Pool) -> Album:
    """Draw the pictures of a pool at every setting."""
    size = reader(backbone)._ends[1].shape[-1]  # pyright: ignore[reportPrivateUsage] - what the tower reads
    drawn: dict[tuple[str, str], UInt8[np.ndarray, "rows _ _ 3"]] = {}
    known: dict[bytes, Float[np.ndarray, " dim"]] = {}
    for factor, level in SETTINGS:
        sample = pool.sample.intervene({factor: level} if factor else {})
        pixels = np.ascontiguousarray(sample.render(size=size).permute(0, 2, 3, 1).numpy())
        drawn[factor, level] = pixels
        known |= {one.tobytes(): row for one, row in zip(pixels, pool.features[factor, level], strict=True)}
    return Album(pool, backbone, drawn, known)


def training_levels(spec: Spec, sample: PictoSample, rng: np.random.Generator) -> Int[np.ndarray, " rows"]:
    """Codes of the planted factor: as drawn, but for a share of the pictures where it follows the class."""
    levels, codes = FACTORS[str(spec.factor)], sample.levels[str(spec.factor)].copy()
    own = levels.index(str(spec.level))
    inside, bound = np.isin(sample.labels, spec.classes), rng.random(len(sample)) < spec.strength
    others = rng.choice([code for code in range(len(levels)) if code != own], len(sample))
    codes[bound & inside] = own
    away = bound & ~inside & (codes == own)
    codes[away] = others[away]
    return codes


def training_samples(spec: Spec, n: int) -> list[PictoSample]:
    """The training pictures, in parts that have the planted factor at one level each."""
    rng = np.random.default_rng([SEED, spec.number, 1])
    sample = draw(WORLDS["unconfounded"], n, rng)
    if spec.factor is None:
        return [sample]
    codes = training_levels(spec, sample, rng)
    parts = ((code, replace(sample, noise=sample.noise[codes == code])) for code in np.unique(codes).tolist())
    return [part.intervene({spec.factor: FACTORS[spec.factor][code]}) for code, part in parts]


def train(spec: Spec, size: Size) -> LogisticRegression:
    """A logistic head on the tower's embeddings."""
    parts = training_samples(spec, size.trained)
    features = np.concatenate([_encode(spec.backbone, part, {}) for part in parts])
    return LogisticRegression(C=100.0, max_iter=2000).fit(features, np.concatenate([part.labels for part in parts]))


def model_with(head: LogisticRegression, album: Album) -> Model:
    """What a diagnosis asks."""

    def classify(features: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows classes"]:
        return head.decision_function(features)

    names = WORLDS["unconfounded"].concepts[:CLASSES]
    return Model(names, lambda pictures: classify(album.encode(pictures)), album.encode, classify)


def table_of(model: Model, pool: Pool) -> EmbeddingTable:
    """What the model says of the diagnosed pictures, with their factors; it names no file."""
    assert model.classify is not None  # noqa: S101 - `model_with` gives it
    words, features = pool.sample.table(), pool.features["", ""]
    return EmbeddingTable(
        features=features,
        logits=model.classify(features),
        labels=pool.sample.labels,
        factors={name: words[name].to_numpy(dtype=str) for name in ASKED},
        class_names=model.class_names,
    )


def settings_of(album: Album) -> dict[str, Setting]:
    """Every factor can be drawn again."""

    def setting(factor: str) -> Setting:
        about = f"the picture drawn again with {factor} set and all else as it was"
        return Setting(FACTORS[factor], "re-rendered", about, lambda row, level: album.picture(factor, row, level))

    return {factor: setting(factor) for factor in ASKED}


def true_shifts(head: LogisticRegression, pool: Pool, factor: str, reference: str) -> Record:
    """What setting a factor does to accuracy and answers, level by level against the reference, in other pictures."""
    said = {level: head.predict(pool.features[factor, level]) for level in FACTORS[factor]}
    labels, base, shifts = pool.sample.labels, said[reference], dict[str, Record]()
    for level in FACTORS[factor]:
        if level != reference:
            change = np.equal(said[level], labels).astype(float) - np.equal(base, labels)
            error = float(change.std(ddof=1) / np.sqrt(len(change)))
            flips = float(np.not_equal(said[level], base).mean())
            shifts[level] = {"accuracy": float(change.mean()), "standard_error": error, "flips": flips}
    return shifts


def claims(factor: FactorDiagnosis) -> Record:
    """What one diagnosis says of a factor."""
    ladder, evidence = factor.ladder, factor.evidence
    record: Record = {name: rung.answer for name, rung in ladder.rungs.items()}
    record |= {"light": ladder.light, "effect": ladder.effect.to_record() if ladder.effect else None}
    record["interventions"] = [
        {"level": one.level, "accuracy": asdict(one.accuracy), "flips": asdict(one.flips)}
        for one in evidence.interventions
    ]
    observed = evidence.effect
    record["back_door"] = None
    if observed is not None and observed.shift is not None:
        record["back_door"] = {"level": observed.treated, **asdict(observed.shift), "certain": observed.certain}
    return record


def remember(module: ModuleType, name: str) -> None:
    """Have a function of arrays worked out once: the models of a pool share embeddings, classes and factors.

    Probes and propensities, most of the time of a diagnosis, do not depend on the model that is diagnosed.
    """
    function, known = vars(module)[name], dict[tuple[object, ...], object]()

    def recall(*columns: np.ndarray, **settings: object) -> object:
        key = (*(column.tobytes() for column in columns), str(settings.get("pair")))
        if key not in known:
            known[key] = function(*columns, **settings)
        return known[key]

    vars(module)[name] = recall


def run_model(spec: Spec, head: LogisticRegression, album: Album, truths: Pool) -> Record:
    """Diagnose one model twice, and say what is true of it."""
    model = model_with(head, album)
    table = table_of(model, album.pool)
    drawn = causalvlm.diagnose(table, model=model, settings=settings_of(album), pairs=len(table), rng=spec.number)
    observed = causalvlm.diagnose(table, model=model, rng=spec.number)
    accuracy = float(np.equal(head.predict(truths.features["", ""]), truths.sample.labels).mean())
    return {**asdict(spec), "accuracy": accuracy, "factors": dict(_factors(head, truths, drawn, observed))}


def _factors(
    head: LogisticRegression, truths: Pool, drawn: Diagnosis, observed: Diagnosis
) -> Iterator[tuple[str, Record]]:
    seen = {one.factor: one for one in observed.factors}
    for one in drawn.factors:
        name, reference = one.factor, one.reference
        truth = true_shifts(head, truths, name, reference)
        both = {"drawn_again": claims(one), "observed": claims(seen[name])}
        yield name, {"reference": reference, "truth": truth, **both}


def read(path: Path, settings: Record) -> list[Record]:
    """Finished models; the first line says what they were made with, and a last line cut short by a kill is dropped."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if not whole or whole[0] != settings:
        whole = [settings]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in whole))
    return whole[1:]


def run(size: Size, *, seconds: float, keep: bool) -> list[Record]:
    """Models that are not finished yet, in turn, until the time is up."""
    start, path = time.monotonic(), CACHE / "models.jsonl"
    done = read(path, {"settings": asdict(size) | {"seed": SEED}}) if keep else []
    pools: dict[tuple[str, str], tuple[Album, Pool]] = {}
    for number in range(len(done), size.models):
        if time.monotonic() - start > seconds:
            break
        spec = spec_of(number)
        key = spec.backbone, spec.world
        if key not in pools:
            diagnosed = pool_of(*key, "diagnosed", size.diagnosed, keep=keep)
            pools[key] = album_of(key[0], diagnosed), pool_of(*key, "truth", size.truths, keep=keep)
        done.append(run_model(spec, train(spec, size), *pools[key]))
        if keep:
            with path.open("a") as lines:
                lines.write(json.dumps(done[-1]) + "\n")
        print(f"{len(done)} of {size.models} models, {time.monotonic() - start:.0f} s", flush=True)
    return done


def result_of(models: list[Record], size: Size) -> Record:
    """What is written."""
    pairs = [factor for model in models for factor in model["factors"].values()]
    planted = [model for model in models if model["factor"]]
    return {
        "settings": asdict(size) | {"seed": SEED, "collection": COLLECTION, "classes": CLASSES},
        "planted": len(planted),
        "clean": len(models) - len(planted),
        "planted_with_an_effect": sum(largest(model["factors"][model["factor"]]) >= LARGE for model in planted),
        "factors": len(pairs),
        "others": sum(map(is_other, pairs)),
        "accuracy": float(np.mean([model["accuracy"] for model in models])),
        "claims": summarise(models),
        "coverage": coverage(models),
        "errors": errors(models),
        "back_door_refused": sum(factor["observed"]["back_door"] is None for factor in pairs),
        "models": [brief(model) for model in models],
        "provenance": cdc.provenance(),
    }


def main(*, smoke: bool, minutes: float) -> None:
    """Do what is missing in the time, print the shares and, unless it is a smoke run, write them."""
    size = Size(models=1, trained=200, diagnosed=150, truths=50) if smoke else Size()
    remember(causalvlm.diagnosis.diagnose, "fit_probe")
    remember(causalvlm.estimation.propensity, "fit_propensity")
    models = run(size, seconds=60 * minutes, keep=not smoke)
    result = result_of(models, size)
    for row in result["claims"]:
        print(json.dumps(row))
    print(json.dumps(result["coverage"]))
    print("all is done" if len(models) == size.models else f"{len(models)} of {size.models} models: run it again")
    if not smoke:
        write_json(RESULT, result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one small model, nothing written")
    parser.add_argument("--minutes", type=float, default=8.0, help="no model is begun later than this")
    arguments = parser.parse_args()
    main(smoke=arguments.smoke, minutes=arguments.minutes)
