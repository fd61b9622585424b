# make demo    set everything up, draw two sample slides and run the demo model on them
# make test    set everything up and run the tests; EXTRAS=cpu,service,test,torch for those of PyTorch too
# make check   ruff, mypy --strict, import-linter
# make nightly every test as far as it goes, for an hour or two; make test goes as far as minutes do
# make fuzz    of the nightly ones the 2,000 damaged slides alone; make test reads 28
# make vendor  fetch the page's OpenSeadragon from npm, and hold it to its digest
# make demo-model  train the demo model anew, then choose its threshold and rule; see its README
# make bundle  wheels, demo model and settings in build/bundle, to install without internet
# make clean   remove what these made

PYTHON ?= $(shell command -v python3.11 || command -v python3)
EXTRAS ?= cpu,service,test
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

COMPILED := wsi_ai/tiles/reading/_resample.c
STATIC := wsi_ai/service/viewer/static
OSD := openseadragon

.PHONY: demo test nightly check fuzz vendor demo-model bundle clean

demo: $(VENV)/.demo
	$(BIN)/wsi-ai demo-slide demo/tumour.svs --seed 1 --tumour
	$(BIN)/wsi-ai demo-slide demo/no-tumour.svs --seed 2
	$(BIN)/wsi-ai run demo/tumour.svs demo/no-tumour.svs --model models/demo-tumour --out demo/out

test: $(VENV)/.test
	tests/run.sh --numprocesses auto --dist worksteal

nightly: $(VENV)/.test
	WSI_AI_SLOW=1 tests/run.sh --numprocesses auto --dist worksteal

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fuzz: $(VENV)/.test
	WSI_AI_MUTANTS=2000 $(BIN)/python -m pytest tests/fuzz

vendor:
	npm install --prefix build/vendor --no-save --ignore-scripts --no-audit --no-fund $(OSD)@6.1.1
	cp build/vendor/node_modules/$(OSD)/build/$(OSD)/$(OSD).min.js $(STATIC)/
	cp build/vendor/node_modules/$(OSD)/LICENSE.txt $(STATIC)/$(OSD).LICENSE.txt
	cd $(STATIC) && sha256sum --check $(OSD).sha256

bundle:
	PYTHON=$(PYTHON) bundle/build.sh

demo-model: | $(VENV)/bin/python
	$(PIP) --editable '.[cpu,train]'
	$(BIN)/python models/demo-tumour/train.py
	$(BIN)/python models/demo-tumour/calibrate.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt $(COMPILED) | $(VENV)/bin/python
	$(PIP) --editable '.[cpu]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt $(COMPILED) | $(VENV)/bin/python
	$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
