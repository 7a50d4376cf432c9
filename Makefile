# What there is to do. Each target installs what it needs into .venv; PYTHON names the Python to make it with.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-all test lint docs bench clean

demo: .venv/demo ## install, start a Triton server, run the main job
	$(BIN)/evproc run workflows/facile.py

demo-all: .venv/demo-all ## the workflows of all systems at full size, one after another; trains what is not shipped
	$(BIN)/evproc run workflows/facile.py -o source.channels=16000
	$(BIN)/evproc run workflows/deepcalo.py -o source.events=1000
	$(BIN)/evproc run workflows/reconstruction.py -o source.events=500
	$(BIN)/evproc run workflows/em_track_michel.py -o source.events=20
	@for case in fpga faast brainwave; do $(BIN)/evproc run workflows/facile_fpga.py -o energy.case=$$case -o source.channels=16000 || exit 1; done
	$(BIN)/python -m evproc.producers.facile.fpga_performance --plot output/fpga.png --hls4ml
	$(BIN)/evproc run workflows/top_tagger.py --network resnet50 --events 20 --customise workflows/changes/brainwave.py:brainwave
	$(BIN)/evproc run workflows/top_tagger.py --events 2000
	$(BIN)/evproc run workflows/top_tagger.py --network resnet50 --events 50
	$(BIN)/evproc scan workflows/scan_toy.py --server fake --service-time 20ms --clients 1,2,4,8,12 --latency 0,60ms --output output/scan --fresh
	$(BIN)/evproc run workflows/exatrkx.py -o source.events=100 -o source.hits=3000 -o tracks.case=ensemble

test: .venv/dev ## install, run all tests
	$(BIN)/pytest --numprocesses 3 --dist worksteal --durations 40

lint: .venv/dev ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

docs: .venv/dev ## bring what the pages quote up to date
	$(BIN)/python docs/generate.py

bench: .venv/dev ## all benchmarks, one after another
	@for name in loop topology read coffea inference client transports overlap adaptive memory observing features chaos; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean: ## remove what the workflows and the targets made
	rm -rf .venv output build dist .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[server,plot]'
	$(BIN)/evproc server install
	@touch $@

.venv/demo-all: .venv/demo
	$(BIN)/python -m pip install --quiet --editable '.[server,plot,systems,train,fpga]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	@$(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true # on all cores; pip takes one
	$(BIN)/evproc server install
	@touch $@ .venv/demo
