# authsvc: `make` lists the targets. Needs Python 3.11 or newer, and make.
# A PORT of the command line or the environment reaches the settings by itself, and wins over .env there.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: .venv/run .env ## install, migrate and serve on 127.0.0.1:8000 (PORT=9000 make run moves it)
	@$(MANAGE) migrate --verbosity 0 --skip-checks
	@exec env AUTHSVC_WELCOME=yes $(BIN)/python -m gunicorn authsvc.wsgi

dev: .venv/dev .env ## serve with DEBUG, and again whenever a file changes
	@DEBUG=true $(MANAGE) migrate --verbosity 0 --skip-checks
	@exec env DEBUG=true $(MANAGE) runserver 127.0.0.1:$(or $(PORT),8000)

shell: .venv/run .env ## open a Python shell with the models imported
	@$(MANAGE) shell

test: .venv/dev ## run the suite; ARGS=tests/apikeys/test_keys.py runs a part of it, DB=sqlite on one database
	@DB='$(DB)' $(BIN)/python tests/run.py $(ARGS)

format: .venv/dev ## format the code, and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: .venv/dev ## format, lint, types, migrations, deployment settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/python tests/gate.py

bench: .venv/run ## the query, routes in the process and over HTTP, logins and writes, each beside its floor, on DATABASE_URL
	@$(BIN)/python bench/lookup.py
	@$(BIN)/python bench/routes.py
	@$(BIN)/python bench/served.py
	@$(BIN)/python bench/logins.py
	@$(BIN)/python bench/writes.py
	@$(BIN)/python bench/startup.py

bench-scale: .venv/run ## ten thousand, a million and ten million keys on DATABASE_URL's PostgreSQL: 5 GB, kept until `bench/scale.py drop`
	@$(BIN)/python bench/scale.py

# With extras: pip takes `coverage[toml]` for another requirement than a pinned `coverage`, and in hash-checking mode fails as
# soon as there is a newer release.
lock: .venv/dev ## compile pyproject.toml into the two requirements files
	$(BIN)/uv pip compile -q --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean: ## remove the environment and what tests leave; .env and the database stay
	rm -rf .venv .coverage* .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "authsvc needs Python 3.11 or newer; PYTHON=python3.12 make names one.")'
	@$(PYTHON) -m venv .venv

.venv/run: requirements.txt | .venv/bin/python
	@echo "Installing what authsvc runs on…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch .venv/run

.venv/dev: requirements-dev.txt | .venv/bin/python
	@echo "Installing what the tests need…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch .venv/dev .venv/run

# Written whole and then moved into place, so that a stop in between leaves no half file; for its owner's eyes only.
.env: | .venv/run
	@umask 077 && $(BIN)/python -c 'import secrets; print(open(".env.example", encoding="utf-8").read().replace("SECRET_KEY=\n", f"SECRET_KEY={secrets.token_urlsafe(48)}\n", 1), end="")' > .env.new && mv .env.new .env
	@echo "Wrote .env with a fresh SECRET_KEY."

.PHONY: help run dev shell test format check bench bench-scale lock clean
