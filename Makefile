# Everything from a bare machine: `make run` plans the day of the news, `make test` proves the house.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    := out
# uv does not read pip's find-links; an empty value is a normal machine.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))
JOBS   ?= 2

.PHONY: run test quick elsewhere soak deploy-check lint setup constraints tables docs clean

run: $(STAMP)
	@mkdir -p $(OUT)
	WAFERLAG_DB=$${WAFERLAG_DB:-sqlite:///$(OUT)/waferlag.sqlite} $(BIN)/waferlag plan 2-h20-july-2025 \
	  --json $(OUT)/plan.json --report $(OUT)/report.html --save
	@echo
	@echo "The dashboard: WAFERLAG_DB=sqlite:///$(OUT)/waferlag.sqlite $(BIN)/waferlag dashboard"

test: $(STAMP) lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

quick: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not slow and not browser and not postgres"

# The same as another processor would compute: other kernels of BLAS, NumPy and libm.
elsewhere: $(STAMP)
	env $$($(BIN)/python -m tests.processors) $(MAKE) quick

# The long form of the trials that `make test` samples: 50 kills, half of them at start-up, 500 small runs on SQLite and
# PostgreSQL, jumps of the clock, a database of 20,000 plans, plans of all
# shipped scenarios on their own counts, two plans under every kind of processor that this machine can compute as, large
# programmes, all traces. Three quarters of an hour.
soak: $(STAMP)
	WAFERLAG_TEST_SOAK=1 WAFERLAG_TEST_KILLS=50 WAFERLAG_TEST_SMALL_RUNS=500 WAFERLAG_TEST_PLANS=20000 \
	  $(BIN)/python -m pytest tests \
	  -m "slow or soak" -k "killed or stopped_while or jumps or larger_than_the_memory or drain_many or no_rival or processor or one_core or hundreds_of or shipped_files_again or page_shows" --timeout 1800 --durations 20

# The examples in deploy/ against the published schemas of Kubernetes and Compose (110 MB, so not part of `make test`).
deploy-check:
	test -x $(OUT)/validators/bin/python || $(PYTHON) -m venv $(OUT)/validators
	$(OUT)/validators/bin/pip install -q --disable-pip-version-check kubernetes-validate==1.37.0 check-jsonschema==0.39.0
	$(OUT)/validators/bin/kubernetes-validate --strict --kubernetes-version 1.34 deploy/kubernetes/*.yaml
	$(OUT)/validators/bin/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose/docker-compose.yml

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@! grep -nE '\+cpu|https?://' constraints.txt

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python -e '.[all]' -c constraints.txt
	$(BIN)/python -m compileall -q waferlag planner executor db dashboard
	@touch $@

# Without find-links in force: a local CPU build of torch must not become the pin.
constraints: $(STAMP)
	UV_FIND_LINKS= $(BIN)/uv pip compile -q --universal --all-extras pyproject.toml -c torch-pin.txt -o constraints.txt

# Fits and replayed goodputs that ship as data: again after a change of the serving model, its rows, traces or scenarios.
tables: $(STAMP)
	$(BIN)/python benchmarks/serving_tables.py

docs: $(STAMP)
	$(BIN)/python -m tools.scenario_reference > docs/scenario.md
	$(BIN)/python -m tools.transcripts

clean:
	rm -rf $(VENV) $(OUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis
