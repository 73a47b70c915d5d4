# What a person runs. Each target does all of its own set-up.
#   make demo     the main job, in about a minute, with nothing else installed
#   make test     checks and tests, under both TFLite runtimes
#   make check    ruff, mypy --strict and the import contracts alone
#   make scenarios      every simulated world through the gateway, scored, into docs/scenarios.md
#   make distributions  simulated vital signs and notes beside real ones, into docs/simulators.md
#   make soak           kills, cuts and full disks for SOAK_MINUTES a run, and the ledger of what was lost
#   make train    builds every shipped model again from the data directory
#   make docs     writes the JSON Schemas of the contract again

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := -m pip install --quiet --disable-pip-version-check

# Datasets and foreign models lie beside the checkout where the project is developed; elsewhere ./data is used.
export EDGEWARD_DATA ?= $(if $(wildcard ../shared/data),$(abspath ../shared/data),$(CURDIR)/data)
export EDGEWARD_FOREIGN_MODELS ?= $(if $(wildcard ../shared/models-thirdparty),$(abspath ../shared/models-thirdparty),$(CURDIR)/data/models-thirdparty)

# The tests that drive TFLite run once more in an environment of their own, under the older runtime.
RUNTIME_TESTS := $(addprefix tests/test_,$(addsuffix .py,runtime bundle foreign_models zoo notes lines risk anomaly snapshots))

.PHONY: demo test check train docs scenarios distributions soak broker clean

demo: .venv/demo.stamp
	.venv/bin/edgeward demo

test: check .venv-tflite-runtime/stamp broker
	.venv/bin/python -m pytest
	EDGEWARD_RUNTIME=tflite-runtime .venv-tflite-runtime/bin/python -m pytest $(RUNTIME_TESTS)

check: .venv/test.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

train: .venv-train/stamp
	for name in log-line sensor-anomaly; do .venv-train/bin/edgeward data make $$name --seed 1 || exit 1; done
	for name in triage-note deterioration sensor-anomaly log-line; do \
		.venv-train/bin/edgeward models train $$name || exit 1; \
	done

docs: .venv/test.stamp
	.venv/bin/python -m nodes.schemas docs/schemas

scenarios: .venv/test.stamp broker
	.venv/bin/python -m gateway.scenarios docs/scenarios.md

distributions: .venv/test.stamp
	.venv/bin/python -m simulators.compare docs

SOAK_MINUTES ?= 60
SOAK_SEED ?= 1
soak: .venv/test.stamp broker
	for broker in mosquitto nats-server; do \
		.venv/bin/edgeward chaos --minutes $(SOAK_MINUTES) --seed $(SOAK_SEED) --broker $$broker \
			--report soak-$$broker.json || exit 1; \
		.venv/bin/edgeward chaos --minutes $(SOAK_MINUTES) --seed $(SOAK_SEED) --broker $$broker \
			--faults gateway-kill,broker-kill,duplicates --report soak-$$broker-killed.json || exit 1; \
	done

# The tests talk to a real mosquitto through its own clients.
broker:
	@if ! PATH="$$PATH:/usr/sbin" command -v mosquitto >/dev/null || ! command -v mosquitto_pub >/dev/null; then \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$sudo apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq mosquitto mosquitto-clients; \
	fi

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	.venv/bin/python $(PIP) --editable '.[demo]'
	touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/python
	.venv/bin/python $(PIP) --editable '.[demo,score,test]'
	touch $@ .venv/demo.stamp

.venv-tflite-runtime/stamp: pyproject.toml
	$(PYTHON) -m venv .venv-tflite-runtime
	.venv-tflite-runtime/bin/python $(PIP) --editable '.[test,tflite-runtime]'
	# As on a box that the newer runtime has no wheel for.
	.venv-tflite-runtime/bin/python -m pip uninstall --quiet --yes ai-edge-litert
	touch $@

.venv-train/stamp: pyproject.toml
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python $(PIP) --editable '.[demo,test,train]'
	touch $@

clean:
	rm -rf .venv .venv-tflite-runtime .venv-train
