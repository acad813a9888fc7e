"""The rules of the house that a machine can check."""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("cdc/**/*.py"), *ROOT.glob("causalvlm/**/*.py")])
AXES = {"rows", "dim", "batch", "templates", "classes", "tokens"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path in SOURCES]


def test_every_module_has_its_line_in_the_architecture_page():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    listed = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    assert listed == set(MODULES)


@pytest.mark.parametrize("package", ["causalvlm", "cdc"])
def test_import_is_light(package):
    code = f"import {package}, sys; print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    heavy = ["torch", "open_clip", "matplotlib", "pandas", "sklearn", "transformers", "networkx", "scipy", "numpy"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["causalvlm", "cdc"])
def test_every_public_name_exists_and_is_documented(package):
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        value = getattr(module, name)
        assert name in dir(module)
        assert value.__doc__, f"{package}.{name} has no docstring"


def test_an_unknown_public_name_is_an_attribute_error():
    for package in ("causalvlm", "cdc"):
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = importlib.import_module(package).no_such_name


def test_shapes_use_the_six_axis_names_only():
    for path in SOURCES:
        for shape in re.findall(r'(?:Float|Int|Bool|Shaped|Num)\[[\w.]+, "([^"]*)"\]', path.read_text()):
            for axis in shape.split():
                assert axis.lstrip("*") in AXES | {"_", "..."} or axis.isdigit(), f"{path}: {shape!r}"


def test_no_config_has_more_than_eight_fields():
    cdc = importlib.import_module("cdc")
    types = [*(entry.config for entry in cdc.METHODS.values()), cdc.TrainingConfig, cdc.ViewPlan, cdc.FitSettings]
    for kind in types:
        assert len(dataclasses.fields(kind)) <= 8, kind


def test_no_drawers():
    drawers = {"utils", "common", "misc", "helpers", "util"}
    assert not [path for path in SOURCES if path.stem in drawers]


def test_files_stay_readable():
    for path in SOURCES:
        assert len(path.read_text().splitlines()) <= 400, path


def test_files_are_read_as_data():
    """As SECURITY.md promises; the linter forbids pickle, eval, exec and shells."""
    for path in SOURCES:
        text = path.read_text()
        assert all("weights_only=True" in call for call in re.findall(r"torch\.load\(.*", text)), path
        assert not re.search(r"(trust_remote_code|allow_pickle) ?= ?True", text), path


def test_no_import_has_a_side_effect_on_global_randomness():
    code = (
        # scikit-learn imports rich, which draws from `random`: that is not ours to mend
        "import random, numpy, torch, sklearn.metrics\n"
        "state = lambda: (random.getstate(), numpy.random.get_state()[1].tolist(), torch.initial_seed())\n"
        "before = state()\n"
        "import cdc, causalvlm\n"
        "[getattr(package, name) for package in (cdc, causalvlm) for name in package.__all__]\n"
        "assert state() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_public_functions_take_no_catch_all_arguments():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert node.args.kwarg is None, f"{path}: {node.name}"


def test_one_root_catches_every_error_on_purpose():
    causalvlm, cdc = importlib.import_module("causalvlm"), importlib.import_module("cdc")
    for work in (
        lambda: causalvlm.load_dataset("no/such/folder"),
        lambda: cdc.CDCConfig(templates=0),
        lambda: causalvlm.CausalGraph("X -> X"),
        lambda: causalvlm.identify(causalvlm.CausalGraph("X -> Y; X <-> Y"), treatment="X", outcome="Y"),
    ):
        with pytest.raises(causalvlm.CausalVLMError):
            work()
    assert causalvlm.InputError is cdc.InputError


def test_cdc_knows_no_command_line():
    for path in ROOT.glob("cdc/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise):
                assert not re.search(r"--[a-z]|causalvlm \w", ast.unparse(node)), f"{path}:{node.lineno}"


def test_public_names_of_cdc_are_what_a_user_means_to_use():
    assert not {"write_json", "write_bytes", "image_bar", "refuse_overwrite"} & set(
        importlib.import_module("cdc").__all__
    )
