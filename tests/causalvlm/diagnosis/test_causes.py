"""From a table to causes: what is set in the images is told apart from what merely goes with the class."""

import json

import numpy as np
import pytest
from PIL import Image

from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.settings import Setting
from causalvlm.embeddings.model import Model, model_from
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph

ROWS = 240
NAMES = ("cat", "dog")
LAMP, FRAME = 0, 1
"""Pixels that hold the light and the frame of a picture; a third says what the animal looks like."""

NOISE = 27
"""Numbers in an embedding that tell of nothing."""

LABELS = np.arange(ROWS) % 2


class World:
    """Pictures of three pixels: the light, the frame, and how much of a dog it is."""

    def __init__(self, *, tie=0.5, seed=0):
        rng = np.random.default_rng(seed)
        self.bright = rng.random(ROWS) < 0.5
        self.framed = rng.random(ROWS) < np.where(LABELS == 1, tie, 1 - tie)
        self.look = np.clip(rng.normal(np.where(LABELS == 1, 170, 85), 25), 0, 255).astype(np.uint8)

    def pixels(self, row, **levels):
        values = {"light": self.bright[row], "frame": self.framed[row]}
        values |= {name: level in ("day", "wide") for name, level in levels.items()}
        return np.array([[[255 * values["light"]] * 3, [255 * values["frame"]] * 3, [self.look[row]] * 3]], np.uint8)

    def picture(self, row, **levels):
        return Image.fromarray(self.pixels(row, **levels))

    def settings(self, *names):
        levels = {"light": ("day", "night"), "frame": ("none", "wide")}
        return {
            name: Setting(
                levels[name], "re-rendered", name, lambda row, level, name=name: self.picture(row, **{name: level})
            )
            for name in names
        }

    def table(self, model):
        pictures = [self.picture(row) for row in range(ROWS)]
        factors = {
            "light": np.where(self.bright, "day", "night"),
            "frame": np.where(self.framed, "wide", "none"),
        }
        features = np.concatenate([self.pixels(row).reshape(1, 3, 3)[..., 0] for row in range(ROWS)]) / 100
        noise = np.random.default_rng(1).normal(size=(ROWS, NOISE))
        return EmbeddingTable(np.hstack([features, noise]), model.answer(pictures), LABELS, factors, NAMES)


def reads(*, lamp=0.0):
    """A model that goes by the look of the animal and, as far as `lamp` says, by the light."""

    def probabilities(pictures):
        values = np.array([np.asarray(picture, dtype=float)[0, :, 0] for picture in pictures]) / 255
        dog = 1 / (1 + np.exp(-12 * (values[:, 2] - 0.5 + lamp * (1 - values[:, LAMP]))))
        return np.column_stack([1 - dog, dog])

    return model_from(probabilities, NAMES)


def ask(world, model, *names, **more):
    reference = {"light": "day", "frame": "none"}
    table, settings = world.table(model), world.settings(*names)
    found = diagnose(table, model=model, settings=settings, reference=reference, folds=3, **more)
    return found, {factor.factor: factor for factor in found.factors}


@pytest.fixture(scope="module")
def misled():
    """The model takes cats at night for dogs; it ignores the frame, which goes with the class."""
    return ask(World(tie=0.9), reads(lamp=0.35), "light", "frame")


def test_a_factor_that_is_read_is_used_and_its_effect_is_that_of_setting_it(misled):
    world, model, (_, factors) = World(tie=0.9), reads(lamp=0.35), misled
    ladder, (made,) = factors["light"].ladder, factors["light"].evidence.interventions
    assert (ladder.rungs["used"].answer, ladder.rungs["identified"].answer, ladder.light) == ("yes", "yes", "red")
    assert (ladder.effect.how, ladder.effect.level, ladder.effect.reference) == ("re-rendered", "night", "day")
    day, night = (
        model.answer([world.picture(row, light=level) for row in range(ROWS)]).argmax(axis=1)
        for level in ("day", "night")
    )
    truth = (night == LABELS).mean() - (day == LABELS).mean()
    assert ladder.effect.low <= truth <= ladder.effect.high < 0
    assert made.n == 200
    assert abs(made.flips.value - (night != day).mean()) < 0.1
    assert ladder.rungs["survives"].answer != "no"


def test_a_factor_that_is_ignored_is_not_accused_though_it_goes_with_the_class(misled):
    _, factors = misled
    frame = factors["frame"]
    assert frame.decodable
    assert frame.ladder.rungs["confounded"].answer == "yes"
    assert frame.ladder.rungs["used"].answer == "no"
    assert frame.ladder.light == "green"
    assert (frame.ladder.effect.value, frame.ladder.effect.certain) == (0.0, False)
    assert "makes no difference" in frame.ladder.sentence


def test_a_spurious_association_with_right_answers_is_not_an_effect():
    """Cats are answered worse, and most of the framed pictures are of dogs: frames seem to help, and do nothing."""
    world, model = World(tie=0.8), reads(lamp=0.25)
    table = world.table(model)
    framed = table.factors["frame"] == "wide"
    assert table.correct[framed].mean() - table.correct[~framed].mean() > 0.1
    _, factors = ask(world, model)
    frame = factors["frame"]
    assert frame.ladder.light != "red"
    assert not frame.evidence.effect.certain
    assert frame.ladder.effect.how == "back-door"


def test_examples_are_shown_and_the_record_is_whole(misled):
    found, factors = misled
    pairs = factors["light"].evidence.pairs
    assert pairs
    assert all(pair.answers == ("cat", "dog") and pair.class_name == "cat" for pair in pairs)
    assert factors["frame"].evidence.pairs == ()
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert {"graph", "independencies", "worst", "remedies"} <= set(record)
    assert record["graph"].startswith("D -> ")
    assert record["independencies"] == []
    light = next(one for one in record["factors"] if one["factor"] == "light")
    assert light["effect"]["how"] == "re-rendered"
    assert light["interventions"][0]["level"] == "night"
    assert light["adjusted_p_values"]["changes"]["night"] < 0.05
    assert all(one["factor"] == "light" for one in record["remedies"])


def test_with_few_pictures_nothing_is_said_to_be_unused():
    """Where a picture can be set in fewer than 20 images it is not set at all; in 60 it is, and nobody knows."""
    world, model = World(), reads()
    whole = world.settings("light")["light"]
    for able, used in ((10, None), (60, "unknown")):
        some = Setting(
            whole.levels,
            "edited",
            "x",
            lambda row, level, able=able: whole.picture(row, level) if row < able else None,
        )
        found = diagnose(world.table(model), model=model, settings={"light": some}, folds=3)
        light = next(one for one in found.factors if one.factor == "light")
        assert [one.n for one in light.evidence.interventions] == ([] if used is None else [pytest.approx(60, abs=20)])
        assert light.ladder.rungs["used"].answer == "unknown"
        assert light.ladder.light != "red"


def test_erasure_stands_in_where_nothing_can_be_set():
    """The model reads embeddings, the light among them, and not the frame."""
    world = World()

    def classify(features):
        dog = 6 * (features[:, 2] - 1.275 + 0.35 * (2.55 - features[:, LAMP]) / 2.55)
        return np.column_stack([-dog, dog])

    def encode(pictures):
        return np.array([np.asarray(picture, dtype=float)[0, :, 0] for picture in pictures]) / 100

    pixels = Model(NAMES, lambda pictures: classify(encode(pictures)))
    model = Model(NAMES, pixels.answer, encode, classify)
    _, factors = ask(world, model)
    light, frame = factors["light"], factors["frame"]
    assert light.evidence.erasure is not None
    assert light.evidence.interventions == ()
    assert light.ladder.rungs["used"].answer == "yes"
    assert "erasing its 1 directions" in light.ladder.rungs["used"].reason
    assert frame.ladder.rungs["used"].answer == "unknown"
    _, blind = ask(world, pixels)
    assert blind["light"].evidence.erasure is None
    assert "cannot be set in these images" in blind["light"].ladder.rungs["used"].reason


def test_a_model_that_cannot_be_erased_by_is_set_all_the_same_and_only_what_is_not_set_is_erased():
    world, model = World(), reads(lamp=0.35)
    erasing = Model(NAMES, model.answer, None, lambda features: features[:, :2])
    _, factors = ask(world, erasing, "light")
    assert factors["light"].evidence.erasure is None
    assert factors["light"].evidence.interventions
    assert factors["frame"].evidence.erasure is not None
    assert factors["frame"].evidence.interventions == ()


def test_without_causes_nothing_is_asked_of_the_model():
    def refuse(_):
        raise AssertionError

    world = World()
    found = diagnose(world.table(reads()), model=Model(NAMES, refuse), settings=world.settings("light"), causes=False)
    assert (found.graph, found.remedies) == (None, ())
    assert all(one.evidence.effect is None and not one.evidence.interventions for one in found.factors)


def test_the_same_seed_gives_the_same_diagnosis():
    first, second = (ask(World(), reads(lamp=0.35), "light", rng=3)[0].to_record() for _ in range(2))
    assert first == second


def test_a_graph_of_ones_own_is_used_and_tested():
    graph = CausalGraph("Y -> X; light -> X; frame -> X; X -> Y_hat")
    found, factors = ask(World(tie=0.9), reads(lamp=0.35), graph=graph)
    assert found.graph == graph
    assert {one.statement: one.rejected for one in found.independencies}["Y _||_ frame"]
    assert factors["light"].evidence.effect.formula


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": model_from(lambda _: np.zeros((0, 3)), ("a", "b", "c"))}, "received 3 names that differ"),
        ({"model": reads(), "settings": {"lihgt": None}}, r"factor of the data \(light, frame\); received 'lihgt'"),
        ({"graph": CausalGraph("Y -> X; light -> X; X -> Y_hat")}, "received one without frame"),
    ],
)
def test_mistakes_are_named(arguments, message):
    world = World()
    if "settings" in arguments:
        arguments = arguments | {"settings": {"lihgt": world.settings("light")["light"]}}
    with pytest.raises(InputError, match=message):
        diagnose(world.table(reads()), folds=3, **arguments)


def test_a_model_beside_images_is_refused(colour_folder):
    with pytest.raises(InputError, match="received one beside images"):
        diagnose(colour_folder, model=reads())
