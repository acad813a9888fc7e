"""`protocol` as a person types it: several words to an option, axes of settings, tables, and mistakes in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import cdc
from causalvlm.cli.main import run
from causalvlm.cli.protocol import labelled_methods, one_word_each


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def command(colour_folder, tiny_clip_folder, tmp_path):
    """A grid of one worker on the tiny CLIP."""
    place = ["--datasets", str(colour_folder), "--backbone", str(tiny_clip_folder), "--out", str(tmp_path / "out")]
    return ["protocol", "base-to-new", *place, "--shots", "4", "--epochs", "1", "--workers", "1"]


def test_it_writes_runs_and_tables_and_prints_the_averages(command, tmp_path, capsys):
    out, json_file = tmp_path / "out", tmp_path / "result.json"
    words = [*command, "--methods", "zero-shot", "coop,cdc", "--seeds", "1", "2", "--set", "templates=1,2"]
    words += ["--set", "training.batch_size=3", "--set", "training.views=2"]
    assert run([*words, "--json", str(json_file)]) == 0
    captured = capsys.readouterr()
    trained = "training.batch_size=3 training.views=2"
    labels = ["zero-shot", f"coop {trained}", f"cdc templates=1 {trained}", f"cdc templates=2 {trained}"]
    assert [line.split("  ")[0] for line in captured.out.splitlines()[1:5]] == labels
    lines = [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    assert [(line["method"], line["seed"]) for line in lines] == [(name, seed) for name in labels for seed in (1, 2)]
    promised = {"dataset", "method", "seed", "settings", "base", "new", "joint", "harmonic_mean", "ood_auroc",
                "ood_auroc_energy", "openworld_auc", "parameters", "seconds", "peak_memory"}  # fmt: skip
    for line in lines:
        assert promised <= set(line)
        assert all(set(line[part]) == {"accuracy", "ece", "aurc", "n"} for part in ("base", "new", "joint"))
    assert lines[-1]["settings"]["method"]["templates"] == 2
    assert lines[-1]["settings"]["training"]["epochs"] == 1  # --epochs
    assert [line["settings"]["training"]["batch_size"] for line in lines[2:]] == [3] * 6
    assert [line["settings"]["views"] for line in lines[2:]] == [2] * 6
    assert {file.name for file in out.iterdir() if file.is_file()} == {
        "runs.jsonl", "table.md", "table.csv", "table.tex", "timings.csv",
    }  # fmt: skip
    result = json.loads(json_file.read_text())
    assert result["reference"] == "zero-shot"
    assert set(result["paired"]) == set(labels[1:])
    assert result["provenance"]
    assert captured.err.count("\nbase-to-new ") == 8


def test_the_same_command_resumes_and_another_is_refused(command, capsys):
    words = [*command, "--methods", "zero-shot", "--seeds", "1"]
    assert run(words) == 0
    first = capsys.readouterr()
    assert run(words) == 0
    again = capsys.readouterr()
    assert (again.out, again.err.count("\n")) == (first.out, 1)
    assert run(["2" if word == "4" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert sum(not line.endswith(" ...") for line in error.splitlines()) == 1
    assert "its settings.shots is 4, not 2" in error


def test_a_missing_data_set_is_left_out_and_a_failed_run_is_exit_1(command, colour_folder, tmp_path, capsys):
    words = ["99" if word == "4" else word for word in command]
    words[3:3] = ["no-such-folder"]
    assert run([*words, "--methods", "zero-shot", "coop", "--seeds", "1"]) == 1
    error = capsys.readouterr().err
    assert "causalvlm: left out no-such-folder: data must be a folder of images" in error
    assert f"causalvlm: failed coop on {colour_folder.name}, seed 1: every class needs at least 99" in error
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| no-such-folder | data must be a folder of images" in text
    assert f"| coop on {colour_folder.name}, seed 1 | every class needs at least 99" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["open-set", "--datasets", "FOLDER"], "'open-set' is not one of 'base-to-new'"),
        (["base-to-new"], "Missing option '--datasets'"),
        (["base-to-new", "--datasets", "gone"], "at least one data set must be there; received none (gone: data must"),
        (["base-to-new", "--datasets", "FOLDER", "--seeds"], "--seeds must have a value; received none"),
        (["base-to-new", "--datasets", "FOLDER", "--seeds", "one"], "--seeds must be whole numbers; received 'one'"),
        (["base-to-new", "--datasets", "FOLDER", "--methods", "taskres"], "method must be one of cdc"),
        (["base-to-new", "--datasets", "FOLDER", "--methods", "coop", "coop"], "received 'coop' twice"),
        (["base-to-new", "--datasets", "FOLDER", "--set", "depth=1"], "--set must be NAME=VALUE with a setting of one"),
        (["base-to-new", "--datasets", "FOLDER", "--set", "templates=1,many"], "received 'templates=many'"),
        (["base-to-new", "--datasets", "FOLDER", "--set", "training.seed=2"], "received 'training.seed'"),
        (["base-to-new", "--datasets", "FOLDER", "--set", "training.epochs=0"], "epochs must be at least 1"),
        (["base-to-new", "--datasets", "FOLDER", "--shots", "1", "2"], "base-to-new takes one number of shots"),
        (["base-to-new", "--datasets", "FOLDER", "--backbone", "ViT-Q-99"], "received 'ViT-Q-99'"),
        (["cross-dataset", "--datasets", "gone", "FOLDER"], "trains on the first data set, which must be there; gone"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(words, message, colour_folder, tmp_path, capsys):
    words = [str(colour_folder) if word == "FOLDER" else word for word in words]
    assert run(["protocol", words[0], "--out", str(tmp_path / "out"), *words[1:]]) == 2
    error = capsys.readouterr().err
    assert sum(not line.endswith(" ...") for line in error.splitlines()) == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_several_words_to_an_option():
    many = {"--seeds", "--set"}
    assert list(one_word_each(["--seeds=1", "2", "--out", "a", "b"], many)) == [
        "--seeds=1", "--seeds", "2", "--out", "a", "b",
    ]  # fmt: skip
    assert list(one_word_each(["--seeds", "1", "--seeds", "2"], many)) == ["--seeds", "1", "--seeds", "2"]
    with pytest.raises(cdc.InputError, match="--set must have a value"):
        list(one_word_each(["--seeds", "1", "--set"], many))


def test_axes_multiply_the_methods_that_have_them():
    found = labelled_methods(["zero-shot", "cdc"], ["templates=1,4", "anchoring=0,1", "training.epochs=2"], "picto")
    several = [f"templates={m} anchoring={a}" for m in (1, 4) for a in (0, 1)]
    assert list(found) == ["zero-shot", *(f"cdc {one} training.epochs=2" for one in several)]
    config, fit = found["cdc templates=4 anchoring=0 training.epochs=2"]
    assert config == cdc.CDCConfig(templates=4, anchoring=0.0)
    assert fit.training == replace(cdc.default_training("picto", config), epochs=2)
    assert found["zero-shot"] == (cdc.ZeroShotConfig(), cdc.FitSettings())


def group_ends(group: int, *, seconds: float) -> bool:
    """Whether no process of the group is left after a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_interrupting_ends_the_workers(command, tmp_path):
    many = ["--methods", "coop", "--seeds", "1", "2", "--epochs", "100000", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "causalvlm", *command, *many],
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    while process.poll() is None and len(list(tmp_path.glob("out/checkpoints/*.safetensors"))) < 2:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert group_ends(process.pid, seconds=20)
