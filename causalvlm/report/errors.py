"""The errors of an evaluation as one HTML page: the wrong images, what is taken for what, and how honest it is."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from causalvlm.evaluation import Evaluation
from causalvlm.intervals import Estimate, wilson
from causalvlm.phrases import percent, percents
from causalvlm.report.sections import picture_source
from causalvlm.report.write import fill_template
from cdc.data.images import UnreadableImageError, read_image
from cdc.evaluation import CALIBRATION_BINS
from cdc.files import refuse_overwrite, write_bytes

MOST_PICTURES = 120
"""Wrong images that are shown; all of them are in the table that `Evaluation.to_frame` gives."""

MOST_CLASSES = 30
"""Classes of the confusion matrix: of more, those with the most errors."""

MOST_CONFUSIONS = 15
"""Rows of the table of confusions."""

THUMBNAIL = 112
"""Longest side of a shown image in pixels."""


@dataclass(frozen=True)
class Mistake:
    """An image whose label is wrong.

    Attributes:
        file: where it is.
        source: a small copy for HTML; empty if it can no longer be read.
        true: its class.
        label: what it was taken for.
        probability: of that label.
        uncertainty: of the answer.
    """

    file: str
    source: str
    true: str
    label: str
    probability: float
    uncertainty: float


@dataclass(frozen=True)
class Bin:
    """Answers that are about equally sure.

    Attributes:
        confidence: their mean probability.
        right: how many of them are right, with an interval.
        n: how many there are.
    """

    confidence: float
    right: Estimate
    n: int


@dataclass(frozen=True)
class Matrix:
    """How often each class is taken for each.

    Attributes:
        names: the classes.
        cells: row of the true class, column of the label, number of images and their share of the row; none empty.
        left_out: classes that are not among the rows and columns.
    """

    names: tuple[str, ...]
    cells: tuple[tuple[int, int, int, float], ...]
    left_out: int


def render_errors(evaluation: Evaluation, path: Path | str, *, force: bool = False) -> Path:
    """Write the errors of an evaluation as HTML that needs nothing beside it.

    Args:
        evaluation: what `causalvlm.evaluate` returned.
        path: the file to write.
        force: replace an existing file.

    Returns:
        The path.

    Raises:
        InputError: if the file exists and `force` is false.

    Example:
        >>> import cdc, tempfile
        >>> from causalvlm.evaluation import evaluate
        >>> adapter = cdc.fit(cdc.ImageDataset("none", ("cat", "dog"), (), (), ()), cdc.ZeroShotConfig(),
        ...                   cdc.load_backbone("picto"))
        >>> found = evaluate(adapter, "picto/vehicles", classes="new")
        >>> render_errors(found, Path(tempfile.mkdtemp()) / "errors.html").read_text()[:15]
        '<!doctype html>'
    """
    path = Path(path)
    refuse_overwrite(path, force=force)  # before the work, not after it
    write_bytes(path, to_html(evaluation).encode(errors="backslashreplace"), force=force)
    return path


def to_html(evaluation: Evaluation) -> str:
    """The page as text; whatever comes from file names and class names is escaped."""
    pairs = label_pairs(evaluation)
    wrong = Counter((true, label) for true, label in pairs if true != label)
    names = evaluation.prediction.class_names
    values: dict[str, object] = {
        "title": f"{evaluation.card.method.name} on {evaluation.data}, {evaluation.classes} classes",
        "evaluation": evaluation,
        "answer": _answer(evaluation, wrong, names),
        "wrong": wrong.total(),
        "knows": bool((evaluation.prediction.uncertainty > 0).any()),  # a softmax has no mass on "I do not know"
        "mistakes": tuple(mistakes(evaluation)),
        "confusions": [(names[true], names[label], n) for (true, label), n in wrong.most_common(MOST_CONFUSIONS)],
        "bins": reliability(evaluation),
        "matrix": confusion_matrix(pairs, names),
        "settings": _settings(evaluation),
    }
    return fill_template("errors.html", values)


def label_pairs(evaluation: Evaluation) -> list[tuple[int, int]]:
    """The true and the given label of every image."""
    return list(zip(evaluation.labels.tolist(), evaluation.prediction.labels.tolist(), strict=True))


def mistakes(evaluation: Evaluation) -> Iterator[Mistake]:
    """The wrong images with small copies of them, the surest first; no more than `MOST_PICTURES`."""
    said = evaluation.prediction
    sure, uncertain = said.probabilities.amax(-1).tolist(), said.uncertainty.tolist()
    pairs = label_pairs(evaluation)
    rows = [row for row, (true, label) in enumerate(pairs) if true != label]
    rows.sort(key=lambda row: -sure[row])
    for row in rows[:MOST_PICTURES]:
        true, label = (said.class_names[place] for place in pairs[row])
        file = said.files[row]
        yield Mistake(file, thumbnail(file), true, label, sure[row], uncertain[row])


def thumbnail(file: str) -> str:
    """A small copy of an image as a source for HTML; empty if the image cannot be read.

    Example:
        >>> thumbnail("no-such.jpg")
        ''
    """
    try:
        picture = read_image(file)
    except UnreadableImageError:
        return ""
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return picture_source(content.getvalue(), kind="jpeg")


def reliability(evaluation: Evaluation) -> tuple[Bin, ...]:
    """The bins of the calibration error (Guo et al., ICML 2017) that hold an answer, with Wilson's intervals."""
    sure = evaluation.prediction.probabilities.amax(-1).double().cpu().numpy()
    right = (evaluation.prediction.labels == evaluation.labels).cpu().numpy()
    places = np.clip((sure * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    held = [places == place for place in np.unique(places)]
    return tuple(
        Bin(float(sure[rows].mean()), wilson(float(right[rows].mean()), int(rows.sum())), int(rows.sum()))
        for rows in held
    )


def confusion_matrix(pairs: Sequence[tuple[int, int]], names: Sequence[str]) -> Matrix:
    """How often each class is taken for each, among the `MOST_CLASSES` classes with the most errors, in their order.

    Example:
        >>> confusion_matrix([(0, 0), (0, 1), (1, 1)], ("cat", "dog")).cells
        ((0, 0, 1, 0.5), (0, 1, 1, 0.5), (1, 1, 1, 1.0))
    """
    errors = Counter(place for pair in pairs if pair[0] != pair[1] for place in pair)
    most = sorted(range(len(names)), key=lambda place: -errors[place])[:MOST_CLASSES]
    shown = {place: row for row, place in enumerate(sorted(most))}
    sizes, counts = Counter(true for true, _ in pairs), Counter(pairs)
    cells = tuple(
        (shown[true], shown[label], n, n / sizes[true])
        for (true, label), n in sorted(counts.items())
        if true in shown and label in shown
    )
    return Matrix(tuple(names[place] for place in shown), cells, len(names) - len(shown))


def _answer(evaluation: Evaluation, wrong: Counter[tuple[int, int]], names: Sequence[str]) -> Iterator[str]:
    scores, sure = evaluation.scores, float(evaluation.prediction.probabilities.amax(-1).mean())
    right = wilson(scores.accuracy, scores.n)
    yield f"{wrong.total():,} of {scores.n:,} images are wrong: {percent(right.value)} are right ({percents(right)})."
    yield (
        f"The adapter is {percent(sure)} sure on average; how sure it is differs from how right it is by "
        f"{100 * scores.ece:.0f} points (calibration error)."
    )
    for (true, label), n in wrong.most_common(1):
        yield f"The commonest error: {names[true]} taken for {names[label]}, {n:,} images."


def _settings(evaluation: Evaluation) -> list[tuple[str, object]]:
    card = evaluation.card
    return [
        ("data", evaluation.data),
        ("split", evaluation.split_source),
        ("classes", f"{evaluation.classes}, {len(evaluation.prediction.class_names)} names"),
        ("method", card.method),
        ("backbone", f"{card.backbone.name} {card.backbone.pretrained or ''}".strip()),
        (
            "trained on",
            f"{card.data.name}, {card.data.classes} classes, {card.data.shots} shots, seed {card.data.seed}",
        ),
    ]
