"""What is clear is understood: one file for a list of one, a name with a slash, a graph that is only half said."""

import re
from pathlib import Path

import pytest

import causalvlm
import cdc
from cdc.data.places import find_images

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("kind", [str, Path])
def test_one_file_is_a_list_of_one(kind, colour_folder, tiny_backbone):
    file = kind(colour_folder / "red" / "00.png")
    adapter = cdc.fit(cdc.load_dataset(colour_folder), cdc.ZeroShotConfig(), tiny_backbone)
    for one, many in (
        (adapter.predict(file), adapter.predict([file])),
        (adapter.classify(file, cache=None).prediction, adapter.classify([file], cache=None).prediction),
    ):
        assert one.files == many.files == (str(file),)
        assert one.belief.equal(many.belief)
    assert cdc.encode_images(tiny_backbone, file, cache=None).kept == (0,)
    assert cdc.encode_views(tiny_backbone, file, cdc.ViewPlan(templates=1, views=1), cache=None).kept == (0,)


def test_picto_with_a_slash():
    assert causalvlm.load_dataset("picto/vehicles/").fingerprint == causalvlm.load_dataset("picto/vehicles").fingerprint


def test_treatment_and_outcome_by_place():
    graph = causalvlm.CausalGraph("X -> S -> Y; X <-> Y")
    assert causalvlm.identify(graph, "X", "Y") == causalvlm.identify(graph, treatment="X", outcome="Y")


@pytest.mark.parametrize("name", ["pretraining", "adaptation", "front_door"])
def test_a_graph_alone_is_drawn_with_all_its_nodes(name):
    graph = causalvlm.paper_scm(name)
    drawn = {re.sub(r"[${}]", "", text.get_text()) for text in causalvlm.draw_graph(graph).axes[0].texts}
    assert len(drawn - {""}) == len(graph.nodes)


def test_two_names_side_by_side_are_no_graph():
    with pytest.raises(causalvlm.InputError, match=r'received X Y. Write X -> Y, or "X Y" in quotes'):
        causalvlm.CausalGraph("X Y")


def test_hidden_files_and_folders_are_no_images(tmp_path):
    for name in ("a.jpg", ".b.jpg", "c.txt", ".d/e.jpg", "__MACOSX/f.jpg", "g/h.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_images([tmp_path])] == ["a.jpg", "g/h.PNG"]


def test_no_message_sends_anybody_to_a_file_that_is_not_installed():
    """In code, outside of docstrings, no text names a page of docs/ or a script."""
    for path in (*ROOT.glob("cdc/**/*.py"), *ROOT.glob("causalvlm/**/*.py")):
        code = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text())
        found = re.findall(r"(?:docs|analyses|benchmarks|notebooks)/\w+\.\w+", code)
        assert not found, f"{path}: {found}"
