"""The report says what the diagnosis found, in one safe file; the words follow the verdicts."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.findings import CAVEAT, summarize
from causalvlm.embeddings.table import EmbeddingTable, Source
from causalvlm.errors import InputError
from causalvlm.figures.diagnosis import draw_diagnosis
from causalvlm.figures.style import to_bytes
from causalvlm.report import sections, write
from causalvlm.report.write import render_report, to_html, to_record
from tests.causalvlm.report.policy import require_closed


def table(*, seen=0.0, cost=0.0, classes=3, levels=("day", "night"), factors=1, follow=False, **more):
    """Classes are in the features; the second level is as far as `seen`, and `cost` lowers its true logits."""
    rng = np.random.default_rng(0)
    label = np.arange(240) % classes
    level = label % len(levels) if follow else np.arange(240) // classes % len(levels)
    features = rng.normal(size=(240, 5)) + 3 * (label % 5 == np.arange(5)[:, None]).T
    features[:, 4] += seen * (level == 1)
    logits = rng.normal(size=(240, classes)) + (1 - cost * (level == 1))[:, None] * np.eye(classes)[label]
    columns = {f"light {k}" if k else "light": np.array(levels)[level] for k in range(factors)}
    names = tuple(f"class {k}" for k in range(classes))
    return EmbeddingTable(features, logits, label, columns, names, **more)


@pytest.mark.parametrize(
    ("planted", "said", "not_said"),
    [
        ({"seen": 4.0, "cost": 3.0}, ("carries the factor 'light', also among images of one class", "nats lower"), ()),
        ({"cost": 3.0}, ("No trace of the factor 'light' is certain", "Most margin is lost by class"), ()),
        ({"seen": 4.0}, ("carries the factor 'light', also", "No level's margin differs"), ("Most margin",)),
        ({"follow": True, "levels": ("day", "night", "dusk")}, ("Each class occurs at one", "is unknown"), ("nats",)),
    ],
)  # fmt: skip
def test_the_words_follow_the_verdicts(planted, said, not_said):
    text = " ".join(summarize(diagnose(table(**planted), reference={"light": "day"}, causes=False, folds=3)))
    for words in said:
        assert words in text
    for words in not_said:
        assert words not in text


def test_a_gain_is_not_called_a_loss():
    text = " ".join(summarize(diagnose(table(cost=3.0), reference={"light": "night"}, causes=False, folds=3)))
    assert "At 'day', class by class, the logit margin is" in text
    assert "nats higher" in text
    assert "Most margin is lost" not in text


def test_the_report_is_one_file_that_holds_everything(tmp_path):
    known = {"data": "pets", "backbone": "photo", "method": "zero-shot", "pretrained": None}
    source = Source(**{field.name: "" for field in fields(Source)} | known)
    lost = ((Path("pets/broken.jpg"), "image file is truncated"),)
    diagnosis = diagnose(table(cost=3.0, source=source, unreadable=lost), folds=3)
    path = render_report(
        diagnosis, tmp_path / "new" / "report.html", provenance={"seed": 7, "versions": {"torch": "2"}}
    )
    page = path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    for text in ("photo on pets", "pets/broken.jpg", "image file is truncated", "torch 2", "night", "class 2"):
        assert text in page
    for paragraph in summarize(diagnosis):
        assert paragraph.replace("'", "&#39;") in page
    assert 'src="data:image/png;base64,' in page
    for reference in ("http:", "https:", "<script", "<link", "@import"):
        assert reference not in page


def test_names_from_files_are_escaped():
    page = to_html(diagnose(table(levels=("<b>day", "night&")), folds=3), {})
    assert "<b>day" not in page
    assert "&lt;b&gt;day" in page


def test_a_browser_is_forbidden_all_but_the_page_itself():
    lost = ((Path("</code><script src='https://x.invalid'></script>"), "<img src=x onerror=alert(1)>"),)
    hostile = ("</style><script>alert(1)</script>", "\"><base href='https://x.invalid'>")
    require_closed(to_html(diagnose(table(levels=hostile, unreadable=lost), folds=3), {"<style>": "</style>"}))


def test_an_existing_report_is_kept(tmp_path):
    diagnosis = diagnose(table(), folds=3)
    path = render_report(diagnosis, str(tmp_path / "report.html"))
    path.write_text("mine")
    with pytest.raises(InputError, match=r"must not exist yet.*force=True"):
        render_report(diagnosis, path)
    assert path.read_text() == "mine"
    assert render_report(diagnosis, path, force=True).read_text() != "mine"


def test_the_record_is_json_with_verdicts():
    diagnosis = diagnose(table(seen=4.0, cost=3.0), folds=3)
    record = json.loads(json.dumps(to_record(diagnosis), allow_nan=False))
    (factor,) = record["factors"]
    assert (factor["decodable"], factor["decodable_given_class"], factor["moves_margin"]) == ("yes", True, True)
    assert factor["probe"]["accuracy"]["value"] == diagnosis.factors[0].probe.accuracy.value
    assert "associations" in record["caveat"]


@pytest.mark.parametrize("shape", [{"classes": 40}, {"levels": tuple("abcdefgh")}, {"factors": 3}, {"follow": True}])
def test_figures_of_any_shape_are_drawn(shape):
    diagnosis = diagnose(table(**shape), causes=False, folds=3)
    figure = draw_diagnosis(diagnosis)
    assert to_bytes(figure).startswith(b"\x89PNG")
    assert len(figure.subfigs) == len(diagnosis.factors)
    for axes in figure.subfigs[0].subfigs[1].axes:
        assert len(axes.get_yticks()) <= 15


def test_the_figure_shows_the_numbers_of_the_diagnosis():
    diagnosis = diagnose(table(seen=4.0, cost=3.0), folds=3)
    (factor,) = diagnosis.factors
    left, right = draw_diagnosis(diagnosis).subfigs[0].subfigs
    probe, accuracy = left.axes
    shown = [text.get_text() for text in (*probe.texts, *accuracy.texts)]
    for estimate in (factor.probe.accuracy, *(level.accuracy for level in factor.levels)):
        assert f"{estimate.value:.0%}" in shown
    (margins,) = right.axes
    drawn = {round(float(x), 6) for points in margins.collections for x, _ in points.get_offsets()}
    assert drawn == {round(cell.margin, 6) for cell in factor.cells}


def test_a_section_is_a_template_and_a_line_in_the_list(monkeypatch):
    """Every template in the folder has its line, and a section taken out of the list is gone from the page."""
    folder = Path(sections.__file__).parent / "html" / "sections"
    assert {path.stem for path in folder.glob("*.html")} == set(sections.SECTIONS)
    diagnosis = diagnose(table(), folds=3)
    assert "<h2>Settings</h2>" in to_html(diagnosis, {})
    monkeypatch.delitem(sections.SECTIONS, "settings")
    assert "<h2>Settings</h2>" not in to_html(diagnosis, {})


def test_a_section_cannot_replace_what_another_shows(monkeypatch):
    factors, diagnosis = sections.SECTIONS["factors"], diagnose(table(), folds=3)
    monkeypatch.setitem(sections.SECTIONS, "factors", lambda report: factors(report) | {"answer": (), "caveat": ""})
    assert CAVEAT in to_html(diagnosis, {})


def test_the_page_names_the_confidence_that_intervals_have(monkeypatch):
    diagnosis = diagnose(table(), folds=3)
    assert to_html(diagnosis, {}).count("95 %") == 2
    monkeypatch.setattr(write, "INTERVAL", "90 %")
    assert to_html(diagnosis, {}).count("90 %") == 2
