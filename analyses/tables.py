"""Write the tables of README, docs and model cards from the JSON files that the other scripts wrote.

A page holds a block `<!-- table: NAME -->` ... `<!-- end -->`; this script replaces what lies between. A test checks
that every block is what this script would write.

How to run: python analyses/tables.py
How long: a second.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "analyses" / "results"
BENCHMARKS = ROOT / "benchmarks" / "results"
WEIGHTS = ROOT / "cdc" / "backbones" / "weights"
PICTO_MODELS = ("picto", "picto-unconfounded")
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _head(*heads: str) -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]


def text_encoding() -> str:
    """Speed and memory of the text path against the usual way."""
    results = _read(BENCHMARKS / "text_encoding.json")["results"]
    lines = [
        "| class names | usual way | ours | faster | activations kept, usual : ours |",
        "|---|---|---|---|---|",
    ]
    names = {"dtd": "DTD, base", "imagenet": "ImageNet, base"}
    for case, row in results.items():
        usual, ours = (row["seconds"][way]["median"] for way in ("usual", "ours"))
        lines.append(
            f"| {names[case]} ({row['classes']}) | {usual:.2f} s | {ours:.2f} s | {row['time_ratio']:.1f} times | "
            f"{row['memory_ratio']:.1f} : 1 |"
        )
    return "\n".join(lines) + "\n"


def choose_settings() -> str:
    """Settings judged on validation images of base classes, the halves standing in for base and new."""
    results = _read(RESULTS / "choose_settings.json")
    lines = ["| setting | base | stand-in for new | HM | ECE | AURC | OOD AUROC |", "|---|---|---|---|---|---|---|"]
    for name, row in results["rows"].items():
        mean = row["mean"]
        lines.append(
            f"| {name} | {mean['base_accuracy']:.3f} | {mean['new_accuracy']:.3f} | {mean['harmonic_mean']:.3f} | "
            f"{mean['base_ece']:.3f} / {mean['new_ece']:.3f} | {mean['base_aurc']:.3f} / {mean['new_aurc']:.3f} | "
            f"{mean['ood_auroc']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def pacs() -> str:
    """PACS by domain: accuracy and margin, and what a probe reads."""
    factor = _read(RESULTS / "pacs_diagnosis.json")["factors"][0]
    lines = ["| domain | accuracy | accuracy against photo, points | margin against photo, nats |", "|---|---|---|---|"]
    for level in factor["levels"]:
        cells = [_interval(level["accuracy"], 100, 1)]
        cells += [
            _interval(level[key], *scale) for key, scale in (("accuracy_shift", (100, 0)), ("margin_shift", (1, 1)))
        ]
        lines.append(f"| {level['level']} | {' | '.join(cells)} |")
    probe = factor["probe"]
    lines += [
        "",
        f"A probe reads the domain of {_interval(probe['accuracy'], 100, 0)} percent of the images, where guessing "
        f"names {100 * probe['majority']:.0f}: {probe['bits']['value']:.2f} of {probe['entropy_bits']:.2f} bits.",
    ]
    return "\n".join(lines) + "\n"


def pacs_remedies() -> str:
    """What was tried on PACS, what the prompts are matched by, and what the front door says."""
    record = _read(RESULTS / "pacs_diagnosis.json")
    names = {"erase": "LEACE", "prompts": "prompts that name the domains, averaged"}
    tried = [one for one in record["remedies"] if one["tried"]]
    head = "| tried | all images, points | at cartoon, points | cartoon minus photo, change in points |"
    lines = [head, "|---|---|---|---|"]
    for one in tried:
        what = names.get(one["kind"]) or f"{one['method']}, 16 images a class"
        effect = _interval(one["effect"], 100, 1) if one["effect"] else "–"
        lines.append(
            f"| {what} | {_interval(one['overall'], 100, 1)} | {_interval(one['at_level'], 100, 1)} | {effect} |"
        )
    whole, by_class, gap = (record["misalignment"][key] for key in ("whole", "by_class", "gap"))
    (followed,) = record["misalignment"]["follows"]
    door = record["front_door"]
    lines += [
        "",
        f"Whole descriptions tell {100 * whole['found']['value']:.0f} percent of the images, class prompts "
        f"{100 * by_class['found']['value']:.0f}: {_interval(gap, 100, 1)} points apart. Among images of one class the "
        f"domain accounts for {100 * followed['share']:.0f} percent of what the answers vary by. The front door is "
        f"{door['status']}: {door['refusal']}.",
    ]
    return "\n".join(lines) + "\n"


def _interval(value: dict[str, float] | None, scale: float, digits: int) -> str:
    if value is None:
        return "reference"
    number, low, high = (
        f"{scale * value[key]:.{digits}f}".replace("-", "\N{MINUS SIGN}") if value[key] is not None else None
        for key in ("value", "low", "high")
    )
    return number if low is None else f"{number} ({low} to {high})"


def adaptation() -> str:
    """Seconds of a training epoch and the cost of several templates when predicting."""
    results = _read(BENCHMARKS / "adaptation.json")
    epoch, ratio = results["epoch_seconds"], results["predict_ratio"][f"M = {results['templates']}"]
    return (
        f"A CDC training epoch on cached features ({results['images_per_epoch']} images, {results['classes']} classes, "
        f"M = {results['templates']}, {results['threads']} CPU cores) takes {epoch['median']:.1f} s "
        f"({epoch['min']:.1f} to {epoch['max']:.1f}); predicting with M = {results['templates']} templates reaches "
        f"{ratio['median']:.2f} of zero-shot's images a second ({ratio['min']:.2f} to {ratio['max']:.2f}).\n"
    )


def picto_zero_shot() -> str:
    """Zero-shot accuracy of the bundled models in four regimes, and what they lose from the first to the third."""
    results = _read(RESULTS / "picto_model_card.json")
    regimes = results["strength"]
    lines = _head("model", *regimes, "drop")
    for name, row in results["models"].items():
        cells = [_spread(row["zero_shot"][regime]) for regime in regimes]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {_spread(row['drop'])} |")
    strengths = ", ".join(f"{regime} {strength:g}" for regime, strength in regimes.items())
    lines += [
        "",
        f"Percent: mean over {len(results['classes'])} collections ± their standard deviation (95 % interval over "
        f"pictures), {results['pictures']:,} pictures per collection and regime. The drop is from pretraining to "
        f"shifted; the models' drops differ by {_interval(results['difference_of_drops'], 100, 1)} points on the same "
        f"pictures. Strength of confounding: {strengths}.",
    ]
    return "\n".join(lines) + "\n"


def _spread(value: dict[str, float]) -> str:
    number, std, low, high = (
        f"{100 * value[key]:.1f}".replace("-", "\N{MINUS SIGN}") for key in ("value", "std", "low", "high")
    )
    return f"{number} ± {std} ({low} to {high})"


def _picto_collections(name: str) -> str:
    """Zero-shot accuracy of one bundled model by collection."""
    results = _read(RESULTS / "picto_model_card.json")
    rows = results["models"][name]["zero_shot"]
    lines = _head("collection", "classes", *rows)
    for collection, classes in results["classes"].items():
        cells = [f"{100 * row['collections'][collection]:.1f}" for row in rows.values()]
        lines.append(f"| {collection} | {classes} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _picto_levels(name: str) -> str:
    """Zero-shot accuracy of one bundled model by level of a factor, in the regime without confounding."""
    factors = _read(RESULTS / "picto_model_card.json")["models"][name]["levels"]
    lines = ["| factor | level | accuracy, percent | pictures |", "|---|---|---|---|"]
    for factor, levels in factors.items():
        lines += [f"| {factor} | {level} | {_interval(row, 100, 1)} | {row['n']:,} |" for level, row in levels.items()]
    return "\n".join(lines) + "\n"


def _picto_facts(name: str) -> str:
    """What one bundled model is and how it was trained."""
    training, config = _read(WEIGHTS / name / "training.json"), _read(WEIGHTS / name / "open_clip_config.json")
    image, text = config["model_cfg"]["vision_cfg"], config["model_cfg"]["text_cfg"]
    facts = {
        "image tower": f"ViT, {image['layers']} layers, width {image['width']}, {image['image_size']} x "
        f"{image['image_size']} pixels in patches of {image['patch_size']}",
        "text tower": f"causal transformer, {text['layers']} layers, width {text['width']}, {text['heads']} heads, "
        f"{text['context_length']} tokens of a vocabulary of {text['vocab_size']:,}",
        "embedding": f"{config['model_cfg']['embed_dim']} dimensions",
        "parameters": f"{training['parameters']:,}",
        "strength of confounding": f"{training['strength']:g}",
        "pictures": f"{training['step'] * training['batch']:,}, each seen once",
        "steps": f"{training['step']:,} of {training['batch']} pictures",
        "optimizer": f"AdamW, peak rate {training['learning_rate']:g} with warm-up and cosine, weight decay "
        f"{training['weight_decay']:g} on matrices",
        "hardware": f"{training['cores']} CPU cores, shared by the two runs",
        "hours": f"{training['seconds'] / 3600:.1f}",
        "last loss": f"{training['losses'][-1][1]:.2f} nats",
        "seed": str(training["seed"]),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items())]) + "\n"


def picto_rate() -> str:
    """Learning rates of CoOp and CDC on `picto`, judged on validation images of base classes."""
    results = _read(RESULTS / "choose_picto_rate.json")
    rows = {"zero-shot | ": results["zero_shot"]}
    rows |= {f"{method} | {rate}": row for method, rates in results["rates"].items() for rate, row in rates.items()}
    lines = ["| method | rate | base | stand-in for new | harmonic mean |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        scores = [f"{100 * row['mean'][key]:.1f}" for key in ("base_accuracy", "new_accuracy", "harmonic_mean")]
        lines.append(f"| {name} | {' | '.join(scores)} |")
    return "\n".join(lines) + "\n"


def picto_effects() -> str:
    """Effects in Picto, true, naive and estimated."""
    results = _read(RESULTS / "picto_effects.json")
    heads = (
        "strength",
        "effect",
        "true",
        "naive",
        "estimated",
        "bias",
        "error, claimed / found",
        "coverage",
        "refused",
    )
    lines = _head(*heads)
    for row in results["effects"]:
        estimate, cells = row.get("estimate"), [f"{row['strength']:g}"]
        cells += [f"{row['factor']}: {row['treated']} against {row['control']}", _interval(row["margin"], 1, 2)]
        cells.append(_signed(row["naive"]["mean"]))
        if estimate is None:
            cells += ["-"] * 4
        else:
            cells += [_signed(estimate["mean"]), _interval(estimate["bias"], 1, 2)]
            cells.append(f"{estimate['mean_standard_error']:.2f} / {estimate['sd']:.2f}")
            cells.append(_interval(estimate["coverage"], 1, 2))
        cells.append(f"{row['refused']} of {row['runs']}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _grid(name: str, *, group: str | None = None, dataset: str | None = None) -> str:
    """Base-to-new, all methods of a grid: averages over its data sets or a group of them, or one data set."""
    results = _read(RESULTS / f"{name}.json")
    part = results["groups"][group] if group else {"average": results["table"], "paired": results["paired"]}
    lines = [
        "| method | augmentation | base | new | HM | HM, difference | joint | OpenworldAUC | OOD AUROC | "
        "ECE base / new | AURC base / new |",
        "|---" * 11 + "|",
    ]
    for row in part["average"]:
        if row["dataset"] != dataset:
            continue
        score = partial(_cell, row)
        cells = [row["method"], row["augmentation"] or "\N{EN DASH}"]
        cells += [score("base_accuracy"), score("new_accuracy")]
        cells.append(score("harmonic_mean" if dataset else "harmonic_mean_of_means"))
        paired = part["paired"].get(row["method"])
        cells.append(_interval(_named(paired["harmonic_mean"]) if paired else None, 100, 1))
        cells += [score("joint_accuracy"), score("openworld_auc"), score("ood_auroc")]
        cells += [f"{score('base_' + metric)} / {score('new_' + metric)}" for metric in ("ece", "aurc")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any], score: str) -> str:
    """Percent, with the standard deviation over seeds where it is of one data set."""
    spread = row["stds"].get(score)
    return f"{100 * row['means'][score]:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")


def transfer(name: str) -> str:
    """Trained on one data set, tested on others: a column for each."""
    results = _read(RESULTS / f"{name}.json")
    targets = list(dict.fromkeys(row["dataset"] for row in results["table"] if row["dataset"]))
    rows = {(row["method"], row["dataset"]): row for row in results["table"]}
    heads = [
        "method",
        "augmentation",
        "source",
        *(target.split("/")[-1] for target in targets),
        "average",
        "difference",
    ]
    lines = _head(*heads)
    for method in results["methods"]:
        average, paired = rows[method, None], results["paired"].get(method)
        cells = [method, average["augmentation"] or "\N{EN DASH}", _cell(rows[method, targets[0]], "source_accuracy")]
        cells += [_cell(rows[method, target], "target_accuracy") for target in targets]
        cells.append(_cell(average, "target_accuracy"))
        cells.append(_interval(_named(paired["target_accuracy"]) if paired else None, 100, 1))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cdc_templates() -> str:
    """Every template alone, and all of them fused."""
    results = _read(RESULTS / "cdc_templates.json")
    lines = ["| opinion | base | new | HM | ECE base / new | AURC base / new |", "|---|---|---|---|---|---|"]
    for name, mean in results["mean"].items():
        cells = [f"{100 * mean[score]:.1f}" for score in ("base_accuracy", "new_accuracy", "harmonic_mean")]
        cells += [f"{100 * mean[f'base_{score}']:.1f} / {100 * mean[f'new_{score}']:.1f}" for score in ("ece", "aurc")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def number_of_templates() -> str:
    """M: accuracy and parameters on the data sets for choosing, and images a second as a share of zero-shot's."""
    rows = {row["method"]: row for row in _read(RESULTS / "cdc_ablation.json")["table"] if row["dataset"] is None}
    speed = _read(BENCHMARKS / "adaptation.json")
    lines = ["| M | base | new | HM | parameters | images a second, of zero-shot's |", "|---|---|---|---|---|---|"]
    for count in (1, 2, 4, 8):
        means = rows["cdc" if count == speed["templates"] else f"M = {count}"]["means"]
        cells = [f"{100 * means[score]:.1f}" for score in ("base_accuracy", "new_accuracy", "harmonic_mean_of_means")]
        ratio = speed["predict_ratio"][f"M = {count}"]
        cells += [f"{means['parameters']:,.0f}", f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def task_misalignment() -> str:
    """How many pictures find their description, their class, and the former without the latter."""
    results = _read(RESULTS / "task_misalignment.json")["mean"]
    lines = ["| data sets | description found | class found | description found, class missed |", "|---|---|---|---|"]
    for group, row in results.items():
        cells = [f"{100 * row[key]:.0f} %" for key in ("description", "class")]
        lines.append(f"| {group} | {' | '.join(cells)} | {100 * row['misaligned']:.0f} % of the former |")
    return "\n".join(lines) + "\n"


def baseline_rates() -> str:
    """Harmonic means of the baselines at multiples of their published rates."""
    rows = {row["method"]: row for row in _read(RESULTS / "baseline_rates.json")["table"] if row["dataset"] is None}
    names = list(dict.fromkeys(label.rsplit(", ", 1)[0] for label in rows))
    factors = list(dict.fromkeys(label.rsplit(", ", 1)[1] for label in rows))
    lines = _head("method", *(f"{factor} the published rate" for factor in factors))
    for name in names:
        cells = [_cell(rows[f"{name}, {factor}"], "harmonic_mean_of_means") for factor in factors]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def hard_worlds() -> str:
    """Coverage, refusals, warnings and silent misses in worlds that break common estimators."""
    rows = _read(RESULTS / "hard_worlds.json")["worlds"]
    heads = ("world", "estimator", "n", "runs", "truth", "mean", "covered", "refused", "warned", "silent misses")
    lines = _head(*heads)
    for row in rows:
        cells = [row["world"], ", ".join(row["estimators"]) or "-", f"{row['rows']:,}", str(row["runs"])]
        numbers = [row[key] for key in ("truth", "mean", "covered")]  # none where every run was refused
        cells += ["-" if one is None else f"{one:.3f}".replace("-", "\N{MINUS SIGN}") for one in numbers]
        cells += [f"{100 * row[key]:.1f} %" for key in ("refused", "warned", "silent_misses")]
        lines.append(f"| {' | '.join(cells)} |")
    runs = sum(row["runs"] for row in rows)
    silent = sum(row["runs"] * row["silent_misses"] for row in rows) / runs
    lines += ["", f"Over all {runs:,} runs {100 * silent:.1f} % were silent misses."]
    return "\n".join(lines) + "\n"


def implied_equality() -> str:
    """Size and power of the equality that a front door implies where a column moves the treatment alone."""
    lines = _head("world", "rows", "runs", "mean score", "p < .05", "p < .01")
    for row in _read(RESULTS / "implied_equality.json")["worlds"]:
        score = f"{row['mean_score']:.2f}".replace("-", "\N{MINUS SIGN}")
        cells = [f"{row['rows']:,}", str(row["runs"]), score, f"{row['below_0.05']:.3f}", f"{row['below_0.01']:.3f}"]
        lines.append(f"| {row['world']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def audit_worlds() -> str:
    """How often each verdict of the audit was given, where it is right and where it is not."""
    lines = _head("world", "question", "truth", "violated", "cannot tell", "valid")
    for row in _read(RESULTS / "audit_worlds.json")["worlds"]:
        cells = [_shares(row.get(verdict)) for verdict in ("violated", "cannot tell", "valid")]
        lines.append(f"| {' | '.join([row['world'], row['question'], row['truth'], *cells])} |")
    return "\n".join(lines) + "\n"


def _shares(value: dict[str, float] | None) -> str:
    if value is None:
        return ""
    share, low, high = (100 * value[key] for key in ("share", "low", "high"))
    return f"{share:.0f} ({low:.0f} to {high:.0f})"


def oracles() -> str:
    """Means of our estimators and of other public implementations on the same tables."""
    rows = _read(RESULTS / "oracles.json")["pairs"]
    lines = _head("question", "ours", "theirs", "runs", "truth", "mean ± SD, ours", "theirs", "difference of means")
    for row in rows:
        cells = [row["question"], row["ours"], row["theirs"], str(row["runs"]), f"{row['truth']:.3f}"]
        cells += [f"{row[f'mean_{who}']:.3f} ± {row[f'sd_{who}']:.3f}" for who in ("ours", "theirs")]
        lines.append(f"| {' | '.join([*cells, _interval(row['difference'], 1, 4)])} |")
    return "\n".join(lines) + "\n"


def torture() -> str:
    """How many malformed inputs of each family were tried, and how they ended."""
    results = _read(RESULTS / "torture.json")
    lines = [
        "| family | tried | answered | refused | defects | longest work | largest memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for family, row in results["families"].items():
        counts = [str(row[key]) for key in ("tried", "answered", "refused", "defects")]
        most = [f"{row['largest_seconds']:.1f} s", f"{row['largest_bytes'] / 2**30:.1f} GB"]
        lines.append(f"| {family} | {' | '.join(counts + most)} |")
    return "\n".join(lines) + "\n"


def kills() -> str:
    """How often each command was killed, and what became of it."""
    results = _read(RESULTS / "kills.json")["commands"]
    columns = ("kills", "finished", "done", "refused", "lost")
    lines = [
        "| command | kills | trials | killed when all was written | refused afterwards | lost |",
        "|---|" + "---|" * 5,
    ]
    lines += [f"| `{name}` | {' | '.join(str(row[column]) for column in columns)} |" for name, row in results.items()]
    return "\n".join(lines) + "\n"


def first_words() -> str:
    """How long a command is silent, and how long a mistake and a page of help take, before and now."""
    results = _read(BENCHMARKS / "first_words.json")
    before, now, patience = results["before"], results["now"], results["patience"]
    lines = _head("", "wall clock, before", "wall clock", "CPU, before", "CPU")
    for name in now["first_word"]:
        lines.append(_seconds(f"`{name}`, first word", before, now, "first_word", name, patience))
    for group, called in {"mistake": "a mistake", "help": "`--help`"}.items():
        slowest = max(now[group], key=lambda case: now[group][case]["seconds"])
        lines.append(_seconds(f"{called}, the slowest: {slowest}", before, now, group, slowest, patience))
    mistakes, pages = len(now["mistake"]), len(now["help"])
    lines += [
        "",
        f"Seconds, best of {results['repeats']}; of {mistakes} mistakes and {pages} pages of help the one that takes "
        f"longest now. A command that had said nothing after {patience:.0f} s was stopped there (over).",
    ]
    return "\n".join(lines) + "\n"


def _seconds(called: str, before: dict[str, Any], now: dict[str, Any], group: str, case: str, patience: float) -> str:
    """One row: wall clock and CPU of a case, before and now."""
    cells = [called]
    for clock in ("seconds", "cpu_seconds"):
        for label in (before, now):
            measured = label[group][case]
            stopped = measured["seconds"] >= patience
            cells.append(f"over {measured[clock]:.0f}" if stopped else f"{measured[clock]:.2f}")
    return f"| {' | '.join(cells)} |"


def fleet() -> str:
    """What a diagnosis finds of flaws that were planted, and what it accuses wrongly; other tools beside it."""
    results = _read(RESULTS / "fleet.json")
    groups = list(results["claims"][0]["found"])
    lines = _head("asked", "claim", *(f"found: {group}" for group in groups), "accused wrongly")
    ways = {"drawn_again": "drawn again", "observed": "observed only"}
    for row in results["claims"]:
        cells = [ways[row["asked"]], row["claim"], *(_counted(row["found"][group]) for group in groups)]
        accused = row["accused_of_moving_accuracy"] if row["claim"] != "used" else row["accused"]
        lines.append(f"| {' | '.join([*cells, _counted(accused)])} |")
    tools = _read(RESULTS / "fleet_tools.json")
    for tool, row in tools["tools"].items():
        cells = ["training pictures", f"{tool} {row['version']}"]
        cells += [_counted(row["found"].get(group)) for group in groups]
        lines.append(f"| {' | '.join([*cells, _counted(row['accused_where_nothing_was_planted'])])} |")
    covered = {how: _counted(one["beside_error"]) for how, one in results["coverage"].items()}
    lines += [
        "",
        f"Percent with Wilson's interval, and of how many. {results['planted']} models with a flaw, "
        f"{results['planted_with_an_effect']} of which pay 5 points or more for it, and {results['clean']} without. "
        f"Accused wrongly: of moving accuracy, where the truth is less than a point at every level; of being used, "
        f"where less than 2 % of answers change too ({results['others']} of {results['factors']} of them); of "
        f"going with the class, where nothing was planted (the other tools, {tools['models']} models). "
        f"95 % intervals that hold the truth, its own error allowed "
        f"for: drawn again {covered['drawn again']}, back-door {covered['back-door']}; {results['back_door_refused']} "
        f"back-door effects were refused. {_fleet_errors(results['errors'])}",
    ]
    return "\n".join(lines) + "\n"


def _fleet_errors(found: dict[str, Any]) -> str:
    """The flaws that were missed and the lights that are red for too little, by their true effects."""
    red = found["red_for_less"]
    return (
        f"Missed after drawing again, planted flaws by their true effect in points: {_points_of(found['missed'])}. "
        f"Red, which claims more than 2 points, though the truth is less: after drawing again "
        f"{_points_of(red['drawn_again'])}, from observation {_points_of(red['observed'])}."
    )


def _points_of(values: list[float]) -> str:
    shown = [f"{100 * value:.1f}" for value in sorted(values, reverse=True)]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]])) or "none"


def edits() -> str:
    """What edits do to a model's answers, beside drawing the same pictures again."""
    lines = _head(
        "model", "drawn again", "edited", "accuracy, drawn again", "accuracy, edited", "apart", "same answer, %"
    )
    for row in _read(RESULTS / "edits.json")["rows"]:
        shifts = (_interval(row["accuracy"][way], 100, 1) for way in ("drawn_again", "edited", "difference"))
        change = f"{row['factor']}: {row['reference']} to {row['level']}"
        cells = [row["backbone"], change, row["edit"], *shifts, f"{100 * row['same_answer']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def diagnosis_speed() -> str:
    """Time and memory of a diagnosis as the embeddings grow."""
    results = _read(BENCHMARKS / "diagnosis.json")
    lines = _head("images", "dimensions", "CPU seconds", "peak memory, GB")
    for row in results["sizes"]:
        lines.append(f"| {row['rows']:,} | {row['dim']} | {row['cpu_seconds']:.0f} | {row['peak_gb']:.1f} |")
    return "\n".join(lines) + "\n"


def _counted(value: dict[str, float] | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{_interval(value, 100, 0)}, {value['n']}"


def _named(difference: dict[str, float]) -> dict[str, float]:
    return {"value": difference["mean"], "low": difference["low"], "high": difference["high"]}


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def clusters() -> str:
    """Coverage of intervals where rows lie in clusters, and what refuters made of such tables."""
    results = _read(RESULTS / "clusters.json")
    lines = _head("estimator", "coverage with `cluster=`", "without", "error, claimed with / without / found", "alarms")
    for name, row in results["coverage"].items():
        aware, naive, judged = row["with"], row["without"], results["refuters"].get(name)
        errors = f"{aware['standard_error']:.3f} / {naive['standard_error']:.3f} / {row['deviation']:.3f}"
        shown = [f"{one['coverage']:.3f} ({one['low']:.2f} to {one['high']:.2f})" for one in (aware, naive)]
        alarms = "-" if judged is None else f"{judged['with']} / {judged['without']} of {judged['calls']}"
        lines.append("| " + " | ".join([f"`{name}`", *shown, errors, alarms]) + " |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "clusters": clusters,
    "pacs-generalization": partial(transfer, "pacs_generalization"),
    **{
        f"picto-base-to-new-{group.replace(' ', '-')}": partial(_grid, "picto_base_to_new", group=group)
        for group in ("all", "reporting", "reporting tasks")
    },
    "caltech-base-to-new": partial(_grid, "caltech_base_to_new", dataset="caltech101"),
    "cross-dataset": partial(transfer, "cross_dataset"),
    "baseline-rates": baseline_rates,
    "cdc-components": partial(_grid, "cdc_components"),
    "cdc-templates": cdc_templates,
    "number-of-templates": number_of_templates,
    "task-misalignment": task_misalignment,
    "hard-worlds": hard_worlds,
    "implied-equality": implied_equality,
    "audit-worlds": audit_worlds,
    "fleet": fleet,
    "edits": edits,
    "diagnosis-speed": diagnosis_speed,
    "oracles": oracles,
    "first-words": first_words,
    "torture": torture,
    "kills": kills,
    "text-encoding": text_encoding,
    "adaptation": adaptation,
    "choose-settings": choose_settings,
    "cdc-ablation": partial(_grid, "cdc_ablation"),
    "pacs": pacs,
    "pacs-remedies": pacs_remedies,
    "picto-effects": picto_effects,
    "picto-zero-shot": picto_zero_shot,
    "picto-rate": picto_rate,
    **{f"{name}-facts": partial(_picto_facts, name) for name in PICTO_MODELS},
    **{f"{name}-collections": partial(_picto_collections, name) for name in PICTO_MODELS},
    **{f"{name}-levels": partial(_picto_levels, name) for name in PICTO_MODELS},
}


def fill(page: str) -> str:
    """`page` with every block replaced by its table."""
    return BLOCK.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", page)


def pages() -> list[Path]:
    """Pages that may hold blocks."""
    cards = [WEIGHTS / name / "README.md" for name in PICTO_MODELS]
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *cards]


def main() -> None:
    """Rewrite every page that does not show the results."""
    for page in pages():
        text = page.read_text()
        if fill(text) != text:
            page.write_text(fill(text))


if __name__ == "__main__":
    main()
