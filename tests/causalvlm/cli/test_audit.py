"""`audit` as a person types it."""

import json

import numpy as np
import pytest
from PIL import Image

import cdc
from causalvlm.cli.main import run


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    """domain/class folders, 2 x 2 x 40 noisy pictures: the domain is the brightness."""
    root = tmp_path_factory.mktemp("nested") / "lamps"
    rng = np.random.default_rng(0)
    for domain, light in {"dark": 60, "light": 170}.items():
        for name, tint in {"red": (60, 0, 0), "blue": (0, 0, 60)}.items():
            (root / domain / name).mkdir(parents=True)
            for index in range(40):
                pixels = np.clip(light + np.array(tint) + rng.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / domain / name / f"{index:02d}.png")
    return root


@pytest.fixture(scope="module")
def adapter(lamps, tiny_backbone, tmp_path_factory):
    data = cdc.load_dataset(lamps, factors="domain/class")
    settings = cdc.FitSettings(shots=2, training=cdc.TrainingConfig(epochs=1), cache=None)
    folder = tmp_path_factory.mktemp("adapter") / "cdc"
    cdc.fit(data, cdc.CDCConfig(templates=2, calibrate=False), tiny_backbone, settings).save(folder)
    return folder


def test_audit_writes_a_page_and_numbers(adapter, lamps, tmp_path, capsys):
    out, copy = tmp_path / "out", tmp_path / "copy.json"
    arguments = ["audit", str(adapter), str(lamps), "--factors", "domain/class", "--out", str(out)]
    assert run([*arguments, "--seed", "3", "--json", str(copy)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "S is the opinions of 2 templates of cdc" in printed
    assert {file.name for file in out.iterdir()} == {"audit.json", "audit.md"}
    result = json.loads((out / "audit.json").read_text())
    assert result == json.loads(copy.read_text())
    for part in (result["mediation"], result["leaks"]["domain"], result["second_stage"], result["overlap"]):
        assert part["verdict"] in ("valid", "violated", "cannot tell")
        assert {"value", "low", "high", "p_value", "reason"} <= set(part)
    assert len(result["leaks"]["domain"]["templates"]) == 2
    assert result["seed"] == 3
    assert {"versions", "device", "commit"} <= set(result["provenance"])
    page = (out / "audit.md").read_text()
    assert page.startswith("# Audit of cdc on lamps")
    assert "Verdicts of tests" in page
    assert run(arguments) == 2
    assert "pass --force" in capsys.readouterr().err
    assert run([*arguments, "--force", "--folds", "3"]) == 0
    assert json.loads((out / "audit.json").read_text())["settings"]["folds"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "DATA", "--factors", "domain/class", "--out", "OUT"], "must hold card.json"),
        (["ADAPTER", "no-such-folder", "--out", "OUT"], "no-such-folder"),
        (["ADAPTER", "DATA", "--factors", "domain/class"], "Missing option '--out'"),
        (["ADAPTER", "DATA", "--factors", "domain/class", "--out", "OUT", "--folds", "2"], "at least 3 folds"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments, message, adapter, lamps, tmp_path, capsys):
    words = {"ADAPTER": str(adapter), "DATA": str(lamps), "OUT": str(tmp_path / "out")}
    assert run(["audit", *(words.get(word, word) for word in arguments)]) == 2
    captured = capsys.readouterr()
    assert sum(not line.endswith(" ...") for line in captured.err.splitlines()) == 1
    assert message in captured.err
    assert not (tmp_path / "out").exists()
