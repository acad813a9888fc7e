"""`adapt`, and what it makes for `evaluate` and `predict`, as a person types them."""

import json
import shutil

import pytest

import cdc
from causalvlm.cli.main import run
from causalvlm.cli.methods import BUILT_IN
from cdc.files import in_use


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def adapted(colour_folder, tiny_clip_folder, tmp_path):
    out = tmp_path / "adapter"
    status = run(
        ["adapt", str(colour_folder), "--backbone", str(tiny_clip_folder), "--shots", "4", "--epochs", "2",
         "--seed", "2", "--set", "templates=2", "--out", str(out), "--json", str(tmp_path / "adapt.json")]
    )  # fmt: skip
    assert status == 0
    return out


def test_adapt_writes_an_adapter_and_the_promised_keys(adapted, tmp_path, tiny_clip_folder):
    result = json.loads((tmp_path / "adapt.json").read_text())
    promised = {"accuracy", "classes", "n", "ece", "seconds", "method", "backbone", "shots", "seed", "provenance"}
    assert promised <= set(result)
    assert (result["method"], result["shots"], result["seed"], result["classes"]) == ("cdc", 4, 2, "all")
    assert result["backbone"] == str(tiny_clip_folder)
    assert {file.name for file in adapted.iterdir()} == {"card.json", "adapter.safetensors"}


def test_settings_of_the_training_are_set_and_kept(adapted, colour_folder, tiny_clip_folder, tmp_path):
    out = tmp_path / "other"
    changed = {"training.batch_size": "3", "training.optimizer": "adamw", "training.drop_last": "true"}
    pairs = [word for name, value in changed.items() for word in ("--set", f"{name}={value}")]
    status = run(
        ["adapt", str(colour_folder), "--backbone", str(tiny_clip_folder), "--shots", "4", "--epochs", "2", *pairs,
         "--set", "training.views=2", "--set", "training.learning_rate=1", "--learning-rate", "0.5", "--out", str(out)]
    )  # fmt: skip
    assert status == 0
    training = cdc.load_adapter(out).card.training
    assert training.config == cdc.TrainingConfig(
        epochs=2, batch_size=3, learning_rate=0.5, optimizer="adamw", drop_last=True, seed=1
    )
    assert training.views == 2
    assert cdc.load_adapter(adapted).card.training.views == 4


@pytest.mark.parametrize(
    ("method", "pair", "message"),
    [
        ("coop", "depth=3", "with a setting of 'coop' (context_tokens, training.epochs, training.batch_size, "),
        ("coop", "training.seed=3", "received 'training.seed=3'"),
        ("coop", "training.optimizer=lion", "optimizer of TrainingConfig must be"),
        ("coop", "training.views=many", "a value of --set must be a int"),
        ("coop", "training.batch_size=0", "batch_size must be at least 1"),
        ("zero-shot", "training.epochs=3", "with a setting of 'zero-shot' (ensemble); received"),
    ],
)
def test_a_wrong_setting_is_refused_with_those_there_are(method, pair, message, colour_folder, tmp_path, capsys):
    words = ["adapt", str(colour_folder), "--method", method, "--set", pair, "--out", str(tmp_path / "out")]
    assert run(words) == 2
    assert message in capsys.readouterr().err


def test_the_methods_that_are_known_without_loading_them():
    assert tuple(cdc.METHODS) == BUILT_IN


def test_methods_lists_what_can_be_set_of_the_training(tmp_path, capsys):
    assert run(["methods", "--json", str(tmp_path / "methods.json")]) == 0
    assert "--set training.batch_size=32" in capsys.readouterr().out
    found = json.loads((tmp_path / "methods.json").read_text())["methods"]
    assert found["maple"]["training"]["training.epochs"] == 5
    assert found["zero-shot"]["training"] == {}


def test_evaluate_repeats_the_accuracy_of_adapt(adapted, colour_folder, tmp_path):
    assert run(["evaluate", str(adapted), str(colour_folder), "--json", str(tmp_path / "evaluate.json")]) == 0
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("adapt", "evaluate"))
    assert (first["accuracy"], first["ece"], first["n"]) == (second["accuracy"], second["ece"], second["n"])


@pytest.mark.parametrize("classes", ["base", "new"])
def test_evaluate_on_half_of_the_classes(adapted, colour_folder, tmp_path, classes):
    out = tmp_path / "half.json"
    assert run(["evaluate", str(adapted), str(colour_folder), "--classes", classes, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    half = cdc.select_classes(cdc.load_dataset(colour_folder), classes)
    assert (result["class_count"], result["n"]) == (len(half.class_names), len(half.test))


def test_predict_names_the_unreadable_file_and_goes_on(adapted, colour_folder, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    good = colour_folder / "red" / "00.png"
    out = tmp_path / "predict.json"
    assert run(["predict", str(adapted), str(good), str(broken), "--json", str(out)]) == 0
    captured = capsys.readouterr()
    assert f"left out {broken}" in captured.err
    result = json.loads(out.read_text())
    (record,) = result["predictions"]
    assert record["file"] == str(good)
    assert record["label"] in cdc.load_adapter(adapted).class_names
    assert 0 < record["probability"] <= 1
    assert 0 < record["uncertainty"] <= 1
    assert [failure["file"] for failure in result["unreadable"]] == [str(broken)]
    assert captured.out.splitlines()[0] == "file\tlabel\tprobability\tuncertainty"


def test_predict_among_other_classes(adapted, colour_folder, tmp_path):
    out = tmp_path / "predict.json"
    image = str(colour_folder / "red" / "00.png")
    assert (
        run(["predict", str(adapted), image, "--class-name", "tomato", "--class-name", "sky", "--json", str(out)]) == 0
    )
    assert json.loads(out.read_text())["predictions"][0]["label"] in ("tomato", "sky")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adapt", "no-such-folder", "--out", "OUT"], "no-such-folder"),
        (["adapt", "FOLDER", "--out", "OUT", "--method", "taskres"], f"method must be one of {', '.join(cdc.METHODS)}"),
        (["adapt", "FOLDER", "--out", "OUT", "--backbone", "ViT-Q-99"], "received 'ViT-Q-99'"),
        (["adapt", "FOLDER", "--out", "OUT", "--backbone", "CLIP", "--shots", "99"], "at least 99 training images"),
        (["adapt", "FOLDER", "--out", "OUT", "--backbone", "CLIP", "--epochs", "0"], "epochs must be at least 1"),
        (["adapt", "FOLDER", "--out", "OUT", "--device", "tpu"], "device must be cpu, cuda or cuda:N; received 'tpu'"),
        (["adapt", "FOLDER", "--out", "OUT", "--shots", "many"], "Invalid value for '--shots'"),
        (["evaluate", "no-such-adapter", "FOLDER"], "must hold card.json and adapter.safetensors"),
        (["adapt", "FOLDER"], "Missing option '--out'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments, message, colour_folder, tiny_clip_folder, tmp_path, capsys):
    words = {"FOLDER": str(colour_folder), "OUT": str(tmp_path / "out"), "CLIP": str(tiny_clip_folder)}
    assert run([words.get(word, word) for word in arguments]) == 2
    captured = capsys.readouterr()
    assert sum(not line.endswith(" ...") for line in captured.err.splitlines()) == 1
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_an_existing_adapter_is_not_trained_over(adapted, colour_folder, tiny_clip_folder, capsys):
    before = (adapted / "adapter.safetensors").read_bytes()
    arguments = [
        "adapt",
        str(colour_folder),
        "--backbone",
        str(tiny_clip_folder),
        "--shots",
        "4",
        "--out",
        str(adapted),
    ]
    assert run(arguments) == 2
    assert "pass --force" in capsys.readouterr().err
    assert (adapted / "adapter.safetensors").read_bytes() == before


def test_mistakes_that_would_show_after_the_work_are_named_before_it(colour_folder, tmp_path, capsys):
    files = sorted(colour_folder.rglob("*.png"))
    table = tmp_path / "train.csv"
    table.write_text("file,label,split\n" + "".join(f"{file},{file.parent.name},train\n" for file in files))
    out = ["--out", str(tmp_path / "adapter")]
    for arguments, message in (
        ([str(table)], "must have test images"),
        ([str(colour_folder), "--factors", ""], "factors must be a CSV file, or folder levels"),
        ([str(colour_folder), "--seed", "-1"], "--seed"),
        ([str(colour_folder), "--seed", str(2**63)], "--seed"),
    ):
        assert run(["adapt", *arguments, *out]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "adapter").exists()
    assert run(["predict", "no-folder", "a.jpg", "--class-name", "dog", "--class-name", "Dog"]) == 2
    assert "received 'dog' and 'Dog'" in capsys.readouterr().err


class Killed(BaseException):
    """What stands for a kill: nothing catches it."""


def dies(*_arguments, **_options):
    raise Killed


@pytest.fixture
def command(colour_folder, tiny_clip_folder, tmp_path):
    return [
        "adapt", str(colour_folder), "--backbone", str(tiny_clip_folder), "--shots", "4", "--epochs", "1",
        "--set", "templates=1", "--out", str(tmp_path / "adapter"), "--json", str(tmp_path / "adapt.json"),
    ]  # fmt: skip


def contents(folder):
    """What is there, but for the times of the trainings."""
    card = json.loads((folder / "card.json").read_text())
    del card["sha256"], card["training"]["seconds"]
    return {file.name for file in folder.iterdir()}, (folder / "adapter.safetensors").read_bytes(), card


def test_the_same_command_finishes_after_a_kill_at_any_moment(command, tmp_path, monkeypatch):
    out, result = tmp_path / "adapter", tmp_path / "adapt.json"
    places = [
        "cdc.training.fit.Adapter.save",  # trained, rehearsals included
        "cdc.saved.write_json",  # weights without a card
        "cdc.training.fit.discard_checkpoints",  # the adapter beside its checkpoint
        "causalvlm.evaluation.evaluate",
        "causalvlm.cli.adapt.write_result",
    ]
    assert run(command) == 0
    whole, scores = contents(out), json.loads(result.read_text())["accuracy"]
    assert run(command) == 0  # killed when all was done
    assert contents(out) == whole
    shutil.rmtree(out)
    result.unlink()
    for place in places:
        with monkeypatch.context() as patch:
            patch.setattr(place, dies)
            with pytest.raises(Killed):
                run(command)
        assert not result.exists()
    with monkeypatch.context() as patch:
        patch.setattr("cdc.training.fit._train", dies)  # the adapter is there, and is not trained again
        assert run(command) == 0
    assert contents(out) == whole
    assert json.loads(result.read_text())["accuracy"] == scores


def test_what_other_settings_made_is_not_replaced(command, tmp_path, capsys):
    assert run(command) == 0
    before = contents(tmp_path / "adapter")
    assert run([*command, "--seed", "5"]) == 2
    assert "output must not exist yet" in capsys.readouterr().err
    assert contents(tmp_path / "adapter") == before
    (tmp_path / "adapt.json").write_text('{"mine": 1}')
    assert run(command) == 2
    assert (tmp_path / "adapt.json").read_text() == '{"mine": 1}'


def test_a_folder_in_use_is_refused(command, tmp_path, capsys):
    with in_use(tmp_path / "adapter"):
        assert run(command) == 2
    assert "is in use by another" in capsys.readouterr().err
