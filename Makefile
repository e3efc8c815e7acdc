# Everything a newcomer or CI does. `make demo` needs Debian (or any Linux), Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/gameday run api-dependency-brownout
.DEFAULT_GOAL := help
.PHONY: help demo demo-fail venv test lint types layers unit e2e slow flaws selftest-quick attack bench samples clean

help:
	@echo "make demo       a Game Day on the embedded lab, about 90 seconds"
	@echo "make demo-fail  the same where the system does not keep its promise"
	@echo "make venv       set up .venv with the developers' tools"
	@echo "make test       format, lint, types, layers, unit and golden tests, one sound and one flawed run"
	@echo "make slow       the crash matrix, gameday's own parts broken, systems of others, 1,000 mutations"
	@echo "make flaws      gameday selftest: every experiment sound and with each flaw, about an hour"
	@echo "make selftest-quick  each experiment sound, each kind of criterion broken once, about 20 minutes"
	@echo "make attack     10,000 mutations of passing timelines against the grader"
	@echo "make bench      abort and reaper latency, next to Chaos Toolkit's: 20 minutes"
	@echo "make samples    make reports/samples again from their timelines"

# The core alone: what a user installs. The stamps say which pyproject.toml was installed.
.venv/core: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gameday needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/dev: .venv/core
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

venv: .venv/dev

demo: .venv/core
	$(RUN)

# A failing day is what this shows: exit 1 of gameday is the expected end.
demo-fail: .venv/core
	$(RUN) --flaw no-rollback; test $$? -eq 1

test: lint types layers unit e2e

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

layers: .venv/dev
	$(BIN)/lint-imports

# Side by side. What measures or drives a whole run has the machine for itself: `e2e` and `slow`.
unit: .venv/dev
	$(BIN)/pytest -q -n auto -m "not e2e and not slow"

e2e: .venv/dev
	$(BIN)/pytest -q -m "e2e and not slow"

# Drills, and systems that gameday does not start: these mostly wait, at the pace of real time, so that two go side by side.
# What is not named here, such as a lab at full speed, has the machine for itself: two labs starve each other on two slow cores.
DRILLS := tests/app tests/drivers tests/engine tests/load tests/observers tests/proxy
OTHERS := tests/staging tests/e2e/test_crash_others.py tests/e2e/test_stock_toxiproxy.py tests/e2e/test_commands.py \
	tests/e2e/test_chaostoolkit.py tests/e2e/test_people.py tests/e2e/test_releases.py

# All that takes longer than `make test` may, but the self-test.
slow: .venv/dev
	GAMEDAY_MUTATIONS=1000 $(BIN)/pytest -q -n 2 --dist worksteal tests/grade/test_attack.py
	$(BIN)/pytest -q -m slow --durations=30 $(addprefix --ignore=,$(DRILLS) $(OTHERS))
	$(BIN)/pytest -q -m alone --durations=10 $(OTHERS)
	$(BIN)/pytest -q -m "slow and not alone" --durations=30 -n 2 --dist worksteal $(OTHERS) $(DRILLS)

# The whole matrix, which a release has to pass. SELFTEST='--out FOLDER' keeps every run.
flaws: .venv/dev
	$(BIN)/gameday selftest $(SELFTEST)

selftest-quick: .venv/dev
	$(BIN)/gameday selftest --quick $(SELFTEST)

attack: .venv/dev
	GAMEDAY_MUTATIONS=10000 $(BIN)/pytest -q -n 2 --dist worksteal tests/grade/test_attack.py

# Chaos Toolkit is what it is measured next to: in a venv of its own.
.venv-bench/bench: pyproject.toml
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

# BENCH='--aborts 20 --kills 10 --output table.md' shortens it, and keeps the table.
bench: .venv-bench/bench
	.venv-bench/bin/python -m tests.bench $(BENCH)

samples: .venv/dev
	$(BIN)/python -m tests.samples

clean:
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
