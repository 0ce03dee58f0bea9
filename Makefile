# Two commands are enough: `make run` and `make test`. `make help` lists the others.
PORT ?= 7071
DATA ?= .azurite

# The first Python that is new enough; `make PYTHON=... run` names another one.
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo "$$name" && exit; \
	done; echo python3)
endif

VENV_PYTHON := .venv/bin/python
STORES := tests/storage tests/querytags tests/edits tests/qido
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help preflight setup run test test-served test-dev test-stores test-rooms test-split test-all test-peers \
	lint format types imports contract contract-accept new-version deprecate retire versions check lock gallery package run-package infra

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile
	@echo "  make run takes PORT (default 7071), DATA (default .azurite) and AUTH; every target takes PYTHON."

preflight:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "make: Python 3.11 to 3.14 is needed, and there is no $(PYTHON) on the PATH." >&2; exit 1; }
	@"$(PYTHON)" -m shared.dev.preflight

# The stamps make set-up run again only when a lock has changed.
.venv/installed.stamp: requirements-dev.txt | preflight
	@test -x $(VENV_PYTHON) || { echo "Making .venv with $(PYTHON) ..."; "$(PYTHON)" -m venv .venv; }
	@echo "Installing the Python packages of requirements-dev.txt into .venv ..."
	@$(VENV_PYTHON) -m pip install --no-compile --progress-bar off --require-hashes --requirement requirements-dev.txt
	@touch $@

node_modules/installed.stamp: package-lock.json package.json | preflight
	@echo "Installing Azurite into node_modules ..."
	@npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

setup: .venv/installed.stamp node_modules/installed.stamp ## install everything that is pinned into .venv and node_modules

run: setup ## start storage and service, print the base URL (AUTH=local: with tokens, one for each role)
	@exec $(VENV_PYTHON) -m shared.dev.run --port "$(PORT)" --data "$(DATA)" $(if $(AUTH),--auth="$$AUTH")

test: setup ## run the tests
	@$(VENV_PYTHON) -m pytest -m "not slow"

test-served: setup ## those tests that go through HTTP; make check runs the four parts at once
	@$(VENV_PYTHON) -m pytest -m "not slow" tests/served

test-dev: setup ## those tests that are of the tools
	@$(VENV_PYTHON) -m pytest -m "not slow" tests/dev

test-stores: setup ## those tests that are of storage and of the rooms that ask most of it
	@$(VENV_PYTHON) -m pytest -m "not slow" $(STORES)

test-rooms: setup ## all other tests
	@$(VENV_PYTHON) -m pytest -m "not slow" --ignore tests/served --ignore tests/dev $(STORES:%=--ignore %)

test-split: setup ## run the served suite against two apps on one store, one with the newest version, one with the others
	@$(VENV_PYTHON) -m pytest -m "not slow" --apps split tests/served

test-all: setup ## run the tests, those marked slow included, then those of test-split
	@$(VENV_PYTHON) -m pytest
	@$(MAKE) --no-print-directory test-split

test-peers: setup ## tests with Orthanc, dcmtk, and OHIF in Chromium; first, as root: python -m shared.dev.peers install
	@$(VENV_PYTHON) -m pytest -m peers tests/peers

lint: setup ## check style and format
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .

format: setup ## write the format and the fixes that are safe
	@$(VENV_PYTHON) -m ruff check --fix .
	@$(VENV_PYTHON) -m ruff format .

types: setup ## check types
	@$(VENV_PYTHON) -m mypy

imports: setup ## check that imports point one way
	@$(VENV_PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

contract: setup ## check that no version breaks what it promised (CONTRACT_BASE=revision to compare with)
	@$(VENV_PYTHON) -m shared.dev.contract check $(if $(CONTRACT_BASE),--base "$(CONTRACT_BASE)")

contract-accept: setup ## write the documents of all versions to versions/baselines, their replies to tests/golden, for a reviewer to see
	@$(VENV_PYTHON) -m shared.dev.contract accept

# What is given on the command line of make is in the environment, so no character of it means anything to the shell.
new-version: setup ## FROM=v2 NAME=v3.0-prerelease: a version that starts as another one is (RELEASED=day SUMMARY=text)
	@$(VENV_PYTHON) -m shared.dev.versions new $(if $(FROM),--from="$$FROM") $(if $(NAME),--name="$$NAME") \
		$(if $(RELEASED),--released="$$RELEASED") $(if $(SUMMARY),--summary="$$SUMMARY")

deprecate: setup ## VERSION=v1 SUNSET=day SUCCESSOR=v2 READ_MORE=link: announce the end of a version (ANNOUNCED=day)
	@$(VENV_PYTHON) -m shared.dev.versions deprecate $(if $(VERSION),--version="$$VERSION") \
		$(if $(SUNSET),--sunset="$$SUNSET") $(if $(SUCCESSOR),--successor="$$SUCCESSOR") \
		$(if $(READ_MORE),--read-more="$$READ_MORE") $(if $(ANNOUNCED),--announced="$$ANNOUNCED")

retire: setup ## VERSION=v1: end a version whose sunset has come (ON=day)
	@$(VENV_PYTHON) -m shared.dev.versions retire $(if $(VERSION),--version="$$VERSION") $(if $(ON),--on="$$ON")

versions: setup ## list all versions, and how long they live
	@$(VENV_PYTHON) -m shared.dev.versions list

# Tests wait for storage and for clocks a fifth of their time, so four parts keep two processors busy where two do not.
check: ## lint, types, imports, contract, tests: all of continuous integration
	@$(MAKE) --no-print-directory -j2 setup
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j7 contract test-stores test-served test-rooms test-dev types imports

infra: setup ## say what is wrong with the Bicep files, as far as that can be known without Azure
	@$(VENV_PYTHON) -m shared.dev.infra check

lock: setup ## pin the dependencies of pyproject.toml anew (UPGRADE=1 takes newer versions)
	@$(VENV_PYTHON) -m shared.dev.lock $(if $(UPGRADE),--upgrade)

package: setup ## build the zip that is deployed into dist, and list its size (PACKAGE_PYTHON=3.12, BYTECODE=python3.12, OFFLINE=1)
	@$(VENV_PYTHON) -m shared.dev.package $(if $(PACKAGE_PYTHON),--python-version="$$PACKAGE_PYTHON") \
		$(if $(BYTECODE),--bytecode="$$BYTECODE") $(if $(OFFLINE),--offline)

run-package: setup ## as run, but of a package built for this Python and unpacked: what it lacks is missing here too
	@$(VENV_PYTHON) -m shared.dev.package --python-version here --output build --unpack build/package
	@exec $(VENV_PYTHON) -m shared.dev.run --package build/package --port "$(PORT)" --data "$(DATA)" $(if $(AUTH),--auth="$$AUTH")

gallery: setup ## write build/gallery/index.html: a rendered frame of every transfer syntax, to look at
	@$(VENV_PYTHON) -m shared.dev.gallery
