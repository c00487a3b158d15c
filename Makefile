# Each target sets up all that it needs in .venv, once. Options of a command
# go into ARGS, for example: make demo ARGS="--dataset cifar10"

# The oldest that will do comes first: every dependency has wheels for it.
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && { echo $$python; break; }; done)
ARGS :=
FAST := "not long and not program and not slow"
MKDOCS := .venv/bin/mkdocs
INSTALLED := .venv/installed
OLDEST := .venv-oldest/installed
NEWEST := .venv-newest/installed
BUILD := .venv-build/installed
# Other backends of Keras, each without TensorFlow: `make test` tests in them.
BACKENDS := .venv-jax/installed .venv-torch/installed
RUNTIME := $(shell find runtime -name "*.cc" -o -name "*.h" -o -name CMakeLists.txt)

export TF_CPP_MIN_LOG_LEVEL := 2
# Processes of tests go by what the first has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo notebooks backends test test-programs test-fast test-oldest \
	test-newest test-masked test-arm test-android test-micro test-browser test-dist \
	lint tidy docs wheels dist

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(INSTALLED) ## train on scanned digits, convert, verify, run the file
	.venv/bin/keras-aqe demo $(ARGS)

notebooks: $(INSTALLED) ## make notebooks of examples/notebooks/ in build/notebooks/
	mkdir -p build/notebooks
	for script in examples/notebooks/*.py; do .venv/bin/jupytext --to ipynb \
	--output build/notebooks/$$(basename $$script .py).ipynb $$script || exit 1; done

backends: $(BACKENDS) ## install JAX and PyTorch, as small as they come

test: $(INSTALLED) $(BACKENDS) ## the test suite but for programs and what is long
	.venv/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

test-programs: $(INSTALLED) $(BACKENDS) ## pages, notebooks, commands, experiments, other backends
	.venv/bin/python -m pytest -n 2 --dist worksteal -m "program and not long" $(ARGS)

test-fast: $(INSTALLED) ## what is neither long nor slow, for the inner loop
	.venv/bin/python -m pytest -n 2 --dist worksteal -m $(FAST) $(ARGS)

# Shows that the lower bounds in setup.cfg are true.
test-oldest: $(OLDEST) ## what test-fast runs, with the oldest dependencies
	.venv-oldest/bin/python -m pytest -n 2 --dist worksteal -m $(FAST) $(ARGS)

# Shows that nothing newer breaks it: `rm -r .venv-newest` to look again.
test-newest: $(NEWEST) ## what test-fast runs, with the newest dependencies
	.venv-newest/bin/python -m pytest -n 2 --dist worksteal -m $(FAST) $(ARGS)

# Whatever the processor, the suite passes: sums in another order, too.
test-masked: $(INSTALLED) ## the suite as with AVX2, SSE 4.1, no oneDNN, no XNNPACK
	.venv/bin/python -m tests.masked -n 2 $(ARGS)

# Says what is missing where the cross compiler or the emulator is not there.
test-arm: $(INSTALLED) ## the runtime and LiteRT on emulated ARM, kernels alone at 32 bits
	.venv/bin/python -m pytest -n 2 --dist worksteal -m long -rs \
	tests/runtime/kernels/arm tests/examples/arm $(ARGS)

# SYSROOT is the NDK's (toolchains/llvm/prebuilt/linux-x86_64/sysroot, as in
# unicornx/android-ndk-ci), ROOTFS holds Androids (arm64_android, as in
# qilingframework/rootfs). Neither is fetched, and what is missing is said.
SYSROOT := /none
ROOTFS := /none
KOTLIN := build/kotlin/node_modules/kotlin-compiler/bin/kotlinc
test-android: $(INSTALLED) $(BUILD) $(KOTLIN) ## the Android project: make test-android SYSROOT=DIR ROOTFS=DIR
	ZIG=$$(echo $(CURDIR)/.venv-build/lib/python*/site-packages/ziglang/zig) \
	KOTLINC=$(CURDIR)/$(KOTLIN) \
	ANDROID_SYSROOT=$(abspath $(SYSROOT)) ANDROID_ROOTFS=$(abspath $(ROOTFS)) \
	.venv/bin/python -m pytest -n 2 --dist worksteal -m "long or not long" -rs \
	tests/examples/android $(ARGS)

# Without npm, or the JDK it needs, the tests of Kotlin say so.
$(KOTLIN):
	-npm install --silent --prefix build/kotlin kotlin-compiler@2.4.20

test-micro: $(INSTALLED) .venv-micro/installed ## files of builtin operators in TensorFlow Lite Micro
	MICRO_PYTHON=$(CURDIR)/.venv-micro/bin/python \
	.venv/bin/python -m pytest -m long -rs tests/converters/targets/builtin -k micro $(ARGS)

.venv-micro/installed:
	$(PYTHON) -m venv .venv-micro
	.venv-micro/bin/python -m pip install --quiet --pre tflite-micro
	touch $@

LITERT_JS := build/litertjs/node_modules
test-browser: $(INSTALLED) $(LITERT_JS) ## files of builtin operators in LiteRT.js and Chromium
	LITERT_JS=$(CURDIR)/$(LITERT_JS) \
	.venv/bin/python -m pytest -m long -rs tests/converters/targets/builtin -k browser $(ARGS)

$(LITERT_JS):
	-npm install --silent --prefix build/litertjs @litertjs/core@2.5.3

CXX_FILES := $(shell find runtime tests benchmarks examples -name "*.cc" -o -name "*.[ch]")

# mypy goes by folders, so it is given them where setup.cfg maps them to.
TYPED := build/types/keras_aqe

lint: $(INSTALLED) ## linter, formatter, types and workflows
	.venv/bin/actionlint
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/clang-format --dry-run --Werror $(CXX_FILES)
	rm -rf $(TYPED) && mkdir -p $(TYPED)
	ln -s $(addprefix $(CURDIR)/,$(wildcard keras_aqe/*) converters) $(TYPED)
	ln -sfn $(CURDIR)/runtime $(TYPED)_runtime
	MYPYPATH=build/types .venv/bin/mypy $(TYPED) $(TYPED)_runtime

# Minutes, so not a part of lint. As debug builds, whose asserts tell it what
# holds.
tidy: $(INSTALLED) ## what clang-tidy finds in C++
	cmake -G Ninja -S runtime -B build/tidy -DCMAKE_BUILD_TYPE=Debug \
	-DKERAS_AQE_TESTS=ON -DKERAS_AQE_BENCHMARKS=ON \
	-DCMAKE_EXPORT_COMPILE_COMMANDS=ON
	sed -n 's/^ *"file": "\(.*\)".*/\1/p' build/tidy/compile_commands.json | sort -u | \
	xargs -n 1 -P 2 .venv/bin/clang-tidy -p build/tidy --quiet

# The packages as they are installed, for the API's pages.
SCRIPTS := docs/javascripts
docs: $(INSTALLED) $(SCRIPTS) ## build the site into site/; fails on a broken link
	rm -rf build/docs
	mkdir -p build/docs
	cp -r keras_aqe build/docs/
	cp -r converters build/docs/keras_aqe/
	cp -r runtime build/docs/keras_aqe_runtime
	NO_MKDOCS_2_WARNING=1 $(MKDOCS) build $(ARGS)

# Diagrams, and search without a server. Without npm the site builds, too.
$(SCRIPTS):
	-npm install --silent --prefix build/javascripts mermaid@11.17.2 \
	iframe-worker@1.0.4 && mkdir -p $@ && cd build/javascripts/node_modules && \
	cp mermaid/dist/mermaid.min.js $(CURDIR)/$@/ && \
	cp iframe-worker/shim/index.js $(CURDIR)/$@/iframe-worker.js

wheels: $(BUILD) ## build the source archives and this machine's wheels into dist/
	.venv-build/bin/python -m build --outdir dist .
	.venv-build/bin/python -m build --outdir dist runtime

# Says which cross compiler is missing; ARGS="x86_64" builds without any, and
# ARGS=sources what needs no compiler at all.
dist: $(BUILD) ## build all that is released for Linux into dist/
	.venv-build/bin/python distribution/build.py $(ARGS)

# Says what is not tested, where dist/ lacks it or there is no emulator.
test-dist: $(INSTALLED) dist ## install each of these, and run a file there
	.venv/bin/python -m pytest -n 2 --dist worksteal -m long -rs tests/distribution

$(BUILD): distribution/requirements.txt
	$(PYTHON) -m venv .venv-build
	.venv-build/bin/python -m pip install --quiet --requirement $<
	touch $@

# The stamp is written last, so an install that broke off is done again.
$(INSTALLED): setup.cfg setup.py pyproject.toml $(RUNTIME)
	@test -n "$(PYTHON)" || { echo "keras-aqe needs Python 3.11, 3.12" \
	"or 3.13 on the PATH." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --editable '.[dev]'
	touch $@

$(OLDEST): setup.cfg setup.py pyproject.toml $(RUNTIME)
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install uv
	.venv-oldest/bin/uv pip install --python .venv-oldest/bin/python \
	--resolution lowest-direct --editable '.[dev]'
	touch $@

# Without Larq Compute Engine, which keeps NumPy below 2.
$(NEWEST): setup.cfg setup.py pyproject.toml $(RUNTIME)
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install uv
	.venv-newest/bin/uv pip install --python .venv-newest/bin/python \
	--resolution highest --prerelease disallow --editable '.[tests]'
	touch $@

# PyPI's PyTorch for Linux brings CUDA; where its own index cannot be reached,
# PyPI's it is. The last line makes `keras_aqe` the one of this checkout.
.venv-jax/installed: REQUIREMENTS := "jax >= 0.8" pillow filelock
.venv-torch/installed: REQUIREMENTS := torch==2.13.0 --retries 1 \
	--extra-index-url https://download.pytorch.org/whl/cpu
$(BACKENDS): .venv-%/installed: $(INSTALLED)
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install $(REQUIREMENTS) "keras >= 3.13" \
	pytest hypothesis matplotlib
	cp .venv/lib/python3.*/site-packages/__editable__*keras_aqe* \
	.venv-$*/lib/python3.*/site-packages/
	touch $@
