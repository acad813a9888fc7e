"""What stands beside a probe in a diagnosis, and images that belong together."""

import json

import numpy as np
import pytest
from PIL import Image

from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.findings import limits
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.report.write import to_html
from tests.causalvlm.report.policy import require_closed

ROWS, NAMES = 240, ("cat", "dog")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A ring that no plane tells from its inside, colours that the files show, and videos of six frames."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("frames")
    features = rng.normal(size=(ROWS, 3))
    ring = np.where((features**2).sum(axis=1) > 2.4, "out", "in")
    colour = np.array(["red", "blue"])[rng.integers(2, size=ROWS)]
    features = np.column_stack([features, 0.6 * (colour == "red") + rng.normal(size=ROWS)])
    files = tuple(folder / f"{row}.png" for row in range(ROWS))
    for file, name in zip(files, colour, strict=True):
        Image.new("RGB", (16, 16), str(name)).save(file)
    factors = {"ring": ring, "colour": colour, "video": (np.arange(ROWS) // 6).astype(str)}
    labels = np.arange(ROWS) % 2
    return EmbeddingTable(features, np.eye(2)[labels], labels, factors, NAMES, files=files)


@pytest.fixture(scope="module")
def found(table):
    return diagnose(table, probes="full", groups="video", causes=False, folds=3)


def test_a_kernel_finds_a_ring_and_colours_read_what_is_a_colour(found):
    beside = {one.factor: one.evidence.beside for one in found.factors}
    assert set(beside) == {"ring", "colour"}
    assert beside["ring"].nonlinear.bends
    assert not beside["colour"].nonlinear.bends
    colours = {name: {each.name: each for each in one.baselines}["colours"] for name, one in beside.items()}
    assert colours["colour"].accuracy.value == 1.0
    assert colours["colour"].beyond.high < 0  # the files tell more of it than the embedding
    assert colours["ring"].accuracy.value < 0.65
    selectivity = beside["colour"].selectivity
    assert (selectivity.types, selectivity.selectivity.value) == (
        12,
        pytest.approx(selectivity.accuracy - selectivity.control),
    )
    assert beside["ring"].refused == ()
    record = json.loads(json.dumps(found.to_record()))["factors"][0]["beside"]
    assert set(record) == {"nonlinear", "baselines", "selectivity", "refused"}


def test_images_that_belong_together_stay_in_one_fold_and_are_no_factor(found):
    assert {one.probe.groups for one in found.factors} == {ROWS // 6}
    assert found.settings["groups"] == "video"
    assert any("images of one video belong together" in one for one in limits(found))


def test_the_report_shows_what_stands_beside(found):
    page = to_html(found, {})
    require_closed(page)
    for words in (
        "Bits that a kernel adds",
        "Bits beyond colours",
        "Bits beyond untrained network",
        "Selectivity, points",
    ):
        assert page.count(words) == 2


def test_by_default_nothing_stands_beside_and_without_files_the_reason_does(table):
    bare = EmbeddingTable(table.features, table.logits, table.labels, {"ring": table.factors["ring"]}, NAMES)
    (ring,) = diagnose(bare, causes=False, folds=3).factors
    assert (ring.evidence.beside, ring.probe.groups) == (None, None)
    (ring,) = diagnose(bare, probes="full", causes=False, folds=3).factors
    assert ring.evidence.beside.baselines == ()
    assert ring.evidence.beside.refused == (("baselines", "images come from no file"),)


def test_groups_that_are_no_column_are_refused(table):
    with pytest.raises(InputError, match=r"groups must be a labelled factor \(ring, colour, video\); received 'take'"):
        diagnose(table, groups="take", causes=False)
