# Everything this project does, one word each. Every target makes what it needs first.
PYTHON ?= python3
VENV   ?= .venv
LIGHT  ?= .venv-demo
SHIPPED ?= fast balanced small
BIN     = $(VENV)/bin
# Libraries talk on stderr; if something fails it is shown.
QUIETLY = 2>build/bench.err || { cat build/bench.err >&2; exit 1; }
SUDO    = $(shell test $$(id -u) = 0 || echo sudo)
STAMP   = $(VENV)/.ready

.PHONY: demo quant/demo.jpg test lint bench report clean
.DEFAULT_GOAL := demo

demo: $(LIGHT)/.ready
	@$(LIGHT)/bin/python -m quant.demo --out demo

# The picture in the README.
quant/demo.jpg: $(LIGHT)/.ready
	@$(LIGHT)/bin/python -m quant.demo --model fast --ratio 300 --out demo/picture >/dev/null
	@$(LIGHT)/bin/python -c "from PIL import Image; \
	  Image.open('demo/picture/x300/sheet.png').reduce(2).save('$@', quality=88, optimize=True)"

test: $(STAMP)
	@$(BIN)/python -m pytest

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP)
	@mkdir -p build
	@$(BIN)/python tests/bench.py
	@$(BIN)/python tests/bench_int8.py $(QUIETLY)
	@$(BIN)/python tests/bench_parity.py $(QUIETLY)
	@$(BIN)/python tests/bench_runtime.py $(QUIETLY)
	@$(BIN)/python tests/bench_data.py $(QUIETLY)
	@$(BIN)/python tests/bench_frame.py $(SHIPPED:%=runtime/models/%.tflite) --max-memory 400M
	@$(BIN)/qk-export fast --to onnx --out build >/dev/null $(QUIETLY)
	@$(BIN)/qk-export balanced --to onnx --out build >/dev/null $(QUIETLY)
	@$(BIN)/python tests/bench_models.py $(SHIPPED:%=--model %) --parents build $(QUIETLY)

# The shipped models on held-out pairs and a frame, as one page; each picture is made with the ratio that it is judged at.
report: $(STAMP)
	@rm -rf report
	@$(BIN)/qk-train shipped/fast --pairs 24 --out report/pairs >/dev/null
	@$(BIN)/qk-run eval --pairs report/pairs --model amplified $(SHIPPED:%=--model %) --out report/eval.jsonl
	@$(BIN)/qk-run bench $(SHIPPED:%=--model %) --frame report/pairs/dark/$$(ls report/pairs/dark | head -1) --out report/bench.json
	@for frame in report/pairs/dark/*[05]_x*.dng; do ratio=$${frame##*_x}; ratio=$${ratio%.dng}; \
	  for model in $(SHIPPED); do \
	    $(BIN)/qk-run enhance $$frame -o report/pictures/$$model --model $$model --ratio $$ratio --format png8 >/dev/null || exit 1; done; \
	  $(BIN)/qk-run enhance $$frame -o report/pictures/amplified --strength 0 --ratio $$ratio --format png8 >/dev/null || exit 1; done
	@$(BIN)/qk-run report --eval report/eval.jsonl --bench report/bench.json --pictures report/pictures -o report/report.html

clean:
	rm -rf $(VENV) $(LIGHT) demo report build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Without TensorFlow, as on a board.
$(LIGHT)/.ready: EXTRAS = cpu,litert,demo
$(LIGHT)/.ready: SIZE   = without TensorFlow: about 450 MB and ten seconds
$(STAMP): EXTRAS = cpu,litert,train,dev
$(STAMP): SIZE   = TensorFlow included: about 2.5 GB and a minute or two

# Debian and Ubuntu ship a Python whose venv has no pip until python3-venv is installed.
$(STAMP) $(LIGHT)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or later is needed, for example: make PYTHON=python3.12"; exit 3; }
	@echo "making $(@D), $(SIZE)"
	@test -x $(@D)/bin/pip || $(PYTHON) -m venv --clear $(@D) >/dev/null 2>&1 || \
	  { $(SUDO) apt-get -qq update && $(SUDO) apt-get -qq install -y python3-venv >/dev/null && $(PYTHON) -m venv --clear $(@D); } || \
	  { echo "no virtual environment can be made: install python3-venv"; exit 3; }
	@$(@D)/bin/pip install --quiet --disable-pip-version-check uv
	@VIRTUAL_ENV=$(abspath $(@D)) $(@D)/bin/uv pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
