"""`AdapterClassifier` among scikit-learn's own tools and checks, on embeddings and on files."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import causalvlm
import cdc
from causalvlm.sklearn import AdapterClassifier

FAILS = {
    "check_do_not_raise_errors_in_init_or_set_params": (
        "it sets every parameter to values of wrong types, and these tests check types at run time; without them it "
        "passes, as test_settings_of_any_type_wait_for_fit shows"
    )
}


class OnAnyTable(AdapterClassifier):
    """scikit-learn's checks bring tables of few columns: zeros make embeddings of them; nothing else changes."""

    def _embeddings(self, X):
        return super()._embeddings(np.pad(X, [(0, 0), (0, 192 - X.shape[1])]))


@parametrize_with_checks(
    [OnAnyTable(method, epochs=1) for method in ("cdc", "zero-shot")], expected_failed_checks=lambda _: FAILS
)
def test_of_scikit_learn(estimator, check):
    check(estimator)


def test_settings_of_any_type_wait_for_fit():
    code = (
        "from sklearn.utils.estimator_checks import check_do_not_raise_errors_in_init_or_set_params as check\n"
        "from causalvlm.sklearn import AdapterClassifier\n"
        "check('AdapterClassifier', AdapterClassifier())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def pictures() -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """Training pictures of the first four mammals: files, labels in words, template."""
    data = causalvlm.load_dataset("picto/mammals")
    examples = [example for example in data.train if example.label < 4]
    files = [str(example.path) for example in examples]
    return files, np.array([data.class_names[example.label] for example in examples]), data.template


@pytest.fixture(scope="module")
def embedded(pictures) -> np.ndarray:
    files, _, _ = pictures
    return cdc.encode_images(cdc.load_backbone("picto"), [Path(file) for file in files]).values.numpy()


def estimator(method="coop", **settings) -> AdapterClassifier:
    return AdapterClassifier(method, **{"epochs": 2, "seed": 3, **settings})


@pytest.mark.parametrize("method", ["cdc", "coop", "kgcoop", "cocoop"])
def test_on_embeddings_it_is_the_fit_on_files_without_augmentation(method, pictures, embedded):
    files, labels, template = pictures
    names = tuple(sorted(set(labels)))
    rows = tuple(cdc.Example(Path(f), names.index(y)) for f, y in zip(files, labels, strict=True))
    data = cdc.ImageDataset("mammals", names, rows, (), (), template)
    config = cdc.method_config(method)
    training = cdc.default_training("picto", config)
    training = cdc.TrainingConfig(2, training.batch_size, 0.01, drop_last=training.drop_last, seed=3)
    settings = cdc.FitSettings(8, training=training, views=1, augmentation="none")
    meant = cdc.fit(data, config, cdc.load_backbone("picto"), settings).predict(files).probabilities
    made = estimator(method, shots=8, learning_rate=0.01, template=template).fit(embedded, labels)
    # The scale that CDC fits lies at the bottom of a flat valley: rounding moves it by a thousandth.
    np.testing.assert_allclose(made.predict_proba(embedded), meant, atol=1e-3 if method == "cdc" else 1e-5)
    card = made.adapter_.card
    assert (card.training.augmentation, card.training.views, card.data.shots) == ("none", 1, 8)


def test_on_files_it_is_the_fit_of_cdc(pictures):
    files, labels, template = pictures
    made = estimator("cdc", shots=4, template=template).fit(files, labels)
    assert made.classes_.tolist() == sorted(set(labels))
    assert made.score(files, labels) == np.mean(made.predict(np.array(files, dtype=object)) == labels)
    np.testing.assert_allclose(made.predict_proba(files), made.adapter_.predict(files).probabilities, atol=1e-5)
    assert made.adapter_.card.data.shots == 4
    assert made.adapter_.card.training.augmentation == "set2"


@pytest.mark.parametrize("on", ["files", "embeddings"])
def test_it_serves_in_cross_validation(on, pictures, embedded):
    files, labels, template = pictures
    X = files if on == "files" else embedded
    scores = cross_val_score(estimator(template=template, shots=8), X, labels, cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.5  # guessing gives 0.25


def test_it_serves_at_the_end_of_a_pipeline_and_in_a_search(pictures, embedded):
    _, labels, template = pictures
    pipeline = make_pipeline(FunctionTransformer(lambda X: X - 0.1 * X.mean(0)), estimator(template=template))
    search = GridSearchCV(pipeline, {"adapterclassifier__method": ["zero-shot", "coop"]}, cv=2)
    search.fit(embedded, labels)
    assert search.best_params_["adapterclassifier__method"] in ("zero-shot", "coop")
    assert search.score(embedded, labels) > 0.5


def test_labels_that_are_no_words_take_class_names(pictures, embedded):
    _, labels, template = pictures
    names, numbers = np.unique(labels, return_inverse=True)
    named = estimator(template=template, class_names=names.tolist()).fit(embedded, 10 * numbers)
    spoken = estimator(template=template).fit(embedded, labels)
    assert named.classes_.tolist() == [0, 10, 20, 30]
    np.testing.assert_array_equal(named.predict_proba(embedded), spoken.predict_proba(embedded))
    assert named.adapter_.class_names == tuple(names)


def test_mistakes_are_said(pictures, embedded, tmp_path):
    files, labels, _ = pictures
    with pytest.raises(causalvlm.InputError, match="the 192 columns of 'picto'; received 5"):
        estimator().fit(embedded[:, :5], labels)
    with pytest.raises(causalvlm.InputError, match="class_names must name each of 4 classes; received 2"):
        estimator(class_names=["cat", "dog"]).fit(embedded, labels)
    with pytest.raises(causalvlm.InputError, match="at least two classes; received 1 class"):
        estimator().fit(files[:2], labels[:2])
    with pytest.raises(causalvlm.InputError, match=f"a label for each of {len(files)} images; received 3"):
        estimator().fit(files, labels[:3])
    with pytest.raises(causalvlm.InputError, match=r"must train on features .* received 'maple'"):
        estimator("maple").fit(embedded, labels)
    made = estimator("zero-shot").fit(files, labels)
    with pytest.raises(cdc.UnreadableImageError, match=r"gone\.png: no such file"):
        made.predict([files[0], str(tmp_path / "gone.png")])
    with pytest.raises(causalvlm.InputError, match="for it reads pixels; received embeddings"):
        estimator("maple", epochs=1, shots=1).fit(files, labels).predict(embedded)


def test_features_must_fit_the_labels():
    with pytest.raises(cdc.InputError, match=r"a row for each of 3 labels; received shape \[2, 192\]"):
        cdc.fit_features(
            torch.ones(2, 192), torch.tensor([0, 1, 1]), ["a", "b"], cdc.CoOpConfig(), cdc.load_backbone("picto")
        )


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "sklearn.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "sklearn.md", "exec"), {"__name__": "page"})
    assert cdc.load_adapter(tmp_path / "adapter").card.data.shots == 4
    assert "'method'" in capsys.readouterr().out
