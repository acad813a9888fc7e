# Every command a person needs. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
# One or more tests of every room that take milliseconds.
QUICK := tests/cdc/beliefs tests/cdc/methods tests/cdc/test_adapter.py \
	tests/cdc/protocols/test_base_to_new.py tests/cdc/protocols/test_tables.py \
	tests/cdc/prompts/test_templates.py tests/cdc/data/test_folder.py tests/cdc/data/test_image_dataset.py \
	tests/causalvlm/graphs/test_graph.py tests/causalvlm/identification/test_identify.py tests/causalvlm/embeddings \
	tests/causalvlm/estimation/test_plug_in.py tests/causalvlm/estimation/test_estimators.py \
	tests/causalvlm/refutation/test_bounds_and_sensitivity.py tests/causalvlm/test_intervals.py \
	tests/causalvlm/cli/test_adapt.py tests/test_architecture.py tests/test_tables.py

# The paper's figures and tables in its order; those on photographs need $CAUSALVLM_DATA.
PAPER := task_misalignment data_misalignment picto_base_to_new caltech_base_to_new cross_dataset pacs_generalization \
	cdc_components cdc_ablation cdc_templates

.DEFAULT_GOAL := help
.PHONY: help demo lab test quick check torture bench notebooks paper docs wheel

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 12

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[photo,onnx,jupyter,dev]'
	@touch $@

.venv/.docs: .venv/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

demo: .venv/.installed  ## install, then the whole story offline on the bundled model, ending in a report
	$(BIN)/causalvlm demo --out out/demo --force

lab: .venv/.installed  ## open the notebooks in JupyterLab, with a kernel of .venv
	$(BIN)/jupyter lab notebooks

# A process a core, one thread each; the tests of a file stay together, for they share what is slow to make.
test: .venv/.installed  ## install everything, then run the tests; make test ARGS="-k fusion" runs some
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

quick: .venv/.installed  ## the tests that take milliseconds, in less than a minute
	$(BIN)/python -m pytest $(QUICK) $(ARGS)

check: .venv/.installed  ## format, lint, types, import contracts, dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports
	$(BIN)/vulture

# Exit 2: a script has said what it needs and this machine lacks.
torture: .venv/.installed  ## a thousand malformed inputs and 200 kills, an hour; counts as JSON in analyses/results
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.robustness.torture --json analyses/results/torture.json
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.robustness.kills --json analyses/results/kills.json

bench: .venv/.installed  ## speed and memory, results as JSON in benchmarks/results
	for script in benchmarks/*.py; do $(BIN)/python $$script || [ $$? -eq 2 ] || exit 1; done

# A page or a name that a link does not find is a warning, and a warning is an error.
docs: .venv/.docs  ## build the site into out/docs, its links checked
	rm -rf docs/reference
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -c docs . out/docs

wheel: .venv/.installed  ## build the wheel, install it into an empty environment and use it there, minutes
	$(BIN)/python tests/packaging/wheel.py

notebooks: .venv/.installed  ## execute the notebooks again, and keep their outputs
	$(BIN)/python tests/packaging/notebooks.py

paper: .venv/.installed  ## regenerate the paper's tables and figures, hours; ARGS=--smoke tries them in minutes
	for script in $(PAPER); do $(BIN)/python analyses/$$script.py $(ARGS) || exit 1; done
	$(BIN)/python analyses/tables.py
