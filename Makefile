# Candid's commands. `make` alone lists them. Each does its own set-up; all they make lies in .venv, .venv-sam, .build and .candid.
# Written for make 3.81 too, which macOS has: a recipe's lines are shells of their own.
.DEFAULT_GOAL := help
.PHONY: help run stop logs opensearch test test-fast check install lock sbom image build clean distclean

PYTHON ?= python3.11
PY := .venv/bin/python
INSTALL := infra/local/install.py
# Two processes, since much of the suite waits for others: `make test TOGETHER=` runs one test after the other.
TOGETHER ?= -n 2 --dist loadgroup

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1#/' | awk -F'#' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo
	@echo "  make run FRESH=1                                      start with an empty gallery"
	@echo "  make run DETACH=1                                     return when it is up; make stop ends it"
	@echo "  make run CANDID_AWS_PORT=4570 CANDID_FACES_PORT=4571 CANDID_REKOGNITION_PORT=4572  other ports"
	@echo "  make run MODEL=deepface:SFace                         another face model (a gallery of its own)"
	@echo "  make run INDEX=opensearch                             on a real OpenSearch node (a gallery of its own; JDK and Maven)"
	@echo "  make opensearch OPENSEARCH=2                          OpenSearch 2.19 instead of 3.2"

run: $(PY) ## Start Candid on this machine, enrol sample photos, search twice; Ctrl-C ends it
	@$(PY) $(INSTALL) --editable local $(if $(filter deepface:%,$(MODEL)),deepface)
	@exec $(PY) -m infra.local up

stop: ## End what runs here; the gallery is kept
	@if [ -x $(PY) ]; then exec $(PY) -m infra.local stop; else echo "Nothing of Candid's is running here."; fi

logs: ## What the functions said (the running ones)
	@if [ -x $(PY) ]; then exec $(PY) -m infra.local logs; else echo "Nothing of Candid's is running here."; fi

opensearch: $(PY) ## Start a real OpenSearch node alone (JDK and Maven); Ctrl-C ends it, its data are kept
	@$(PY) $(INSTALL) --editable local
	@exec $(PY) -m infra.opensearch

test: check ## Set up, check statically, run every test
	@exec $(PY) -m pytest $(TOGETHER)

test-fast: install ## Set up, run the tests that take seconds
	@exec $(PY) -m pytest $(TOGETHER) -m "not slow" -q

check: install .venv-sam/bin/python ## Set up, check statically: style, types, template, supply
	@.venv-sam/bin/python $(INSTALL) sam
	@exec bash infra/local/checks.sh

install: $(PY) ## Set up and start nothing
	@$(PY) $(INSTALL) --editable test deepface
	@$(PY) -m infra.models.fetch

lock: $(PY) ## Pin the requirements of every set again, with what they bring and their hashes
	@$(PY) $(INSTALL) supply
	@exec $(PY) -m infra.supply.locks

sbom: $(PY) ## List what the functions' zip and image are made of (CycloneDX) in .build/sbom
	@$(PY) $(INSTALL) --editable local supply
	@exec $(PY) -m infra.supply.sbom

build: $(PY) ## Build the functions that never see a face into .build/functions
	@$(PY) $(INSTALL) --editable local
	@exec $(PY) -m infra.build functions

image: $(PY) ## Build the container image of the functions that see faces; without Docker, say how large it would be
	@$(PY) $(INSTALL) --editable local
	@exec $(PY) -m infra.build image

clean: stop ## Remove what was built, and the local galleries with their logs
	@rm -rf .build .candid/state .candid/index .candid/logs .candid/opensearch .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find services infra tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the virtual environments, the weights and the keys as well
	@rm -rf .venv .venv-sam .candid services/*.egg-info

$(PY) .venv-sam/bin/python:
	@exec bash infra/local/venv.sh "$(PYTHON)" "$(patsubst %/bin/python,%,$@)"
