# Each target sets up all that it needs in .venv, once. Options of a command
# go into ARGS, for example: make demo ARGS="--dataset cifar10"

# The oldest that will do comes first: every dependency has wheels for it.
PYTHON := $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	2>/dev/null && { echo $$python; break; }; done)
ARGS :=
INSTALLED := .venv/installed
RUNTIME := $(shell find runtime -name "*.cc" -o -name "*.h" -o -name CMakeLists.txt)

export TF_CPP_MIN_LOG_LEVEL := 2

.PHONY: demo test test-arm lint

demo: $(INSTALLED)
	.venv/bin/python examples/demo.py $(ARGS)

test: $(INSTALLED)
	.venv/bin/python -m pytest -n 2 $(ARGS)

# Says what is missing where the cross compiler or the emulator is not there.
test-arm: $(INSTALLED)
	.venv/bin/python -m pytest -m long -rs tests/runtime/test_arm.py $(ARGS)

lint: $(INSTALLED)
	.venv/bin/ruff check
	.venv/bin/ruff format --check

# The stamp is written last, so an install that broke off is done again.
$(INSTALLED): setup.cfg setup.py pyproject.toml $(RUNTIME)
	@test -n "$(PYTHON)" || { echo "keras-aqe needs Python 3.11 or 3.12" \
	"on the PATH (Larq Compute Engine has no wheels for others)." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --editable '.[dev]'
	touch $@
