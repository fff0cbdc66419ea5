.PHONY: help demo dev test clients lint clean
PYTHON ?= python3
BIN := .venv/bin

help: ## Show this.
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

.venv: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[dev]'
	@touch .venv

demo: .venv ## Run the bundled example and show its stream.
	$(BIN)/duragraph demo

dev: .venv ## Run everything on this machine.
	$(BIN)/duragraph dev

test: .venv ## Run the tests.
	$(BIN)/pytest

clients: .venv ## Run the tests of the JavaScript SDK, browsers and RemoteGraph.
	$(BIN)/pip install -q -e '.[clients]'
	$(BIN)/pytest -m clients

lint: .venv ## Check style and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean: ## Remove what was made here, the development data included.
	rm -rf .venv .duragraph build dist *.egg-info
