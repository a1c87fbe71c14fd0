# SPDX-License-Identifier: Apache-2.0
# make help lists the targets.

# For every module, dependencies included: figures of a release hold for these flags. Bounds and overflow checks stay on;
# dynamic exclusivity checks are for tests, which run with them.
RELEASE := -c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked
PYTHON := .venv/bin/python
BINARY := .build/release/mesher
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc

.DEFAULT_GOAL := help
.PHONY: help run build image deb install uninstall test setup check fmt docs fuzz simulate bench micro peers oracle clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Set up, build, and start a sidecar with a demo service
	@$(BINARY) quickstart

build: .build/setup-build ## Release build: .build/release/mesher, with VERSION and conf/ beside it
	swift build $(RELEASE) --product mesher
	@scripts/version > .build/release/VERSION
	@mkdir -p .build/release/conf && cp -n conf/*.yaml .build/release/conf/
	@$(BINARY) reference --schema --output .build/release/conf/schema
	@cp Package.resolved .build/release/

image: build .build/setup-image ## The image as an OCI layout, without an engine: .build/image
	packaging/image .build/image

deb: build .build/setup-image ## Debian packages: .build/deb
	packaging/deb .build/deb

install: ## Install what make build has built: PREFIX=/usr/local, SYSCONFDIR=/etc, DESTDIR= for packages
	@packaging/install "$(DESTDIR)" "$(PREFIX)" "$(SYSCONFDIR)"

uninstall: ## Remove what make install has put into place; the configuration stays
	@packaging/install --remove "$(DESTDIR)" "$(PREFIX)" "$(SYSCONFDIR)"

test: setup check ## Set up, then everything: checks, unit tests, scenarios, peers, simulation, fuzzing, documentation
	swift build --build-tests
	scripts/unit-tests
	$(MAKE) build peers micro docs
	scripts/simulate --check-faults
	scripts/simulate --ring a --seeds 1..100000 --seconds 60
	scripts/simulate --ring b --seeds 1..20000 --seconds 30
	scripts/fuzz 20

peers: .build/setup-test ## Real clients and servers against the release binary
	scripts/peers

micro: .build/setup-test ## Instructions and allocations of the request path against their thresholds
	swift build $(RELEASE) --product mesher-micro
	$(PYTHON) Benchmarks/Micro/check.py

check: ## Format, imports, request-path rule, documentation comments, Python: seconds
	@scripts/check

fmt: ## Format the sources
	swift format --in-place --recursive Package.swift Sources Tests Benchmarks Fuzz

docs: .build/setup-test ## The documentation: docs/_build/html
	$(PYTHON) -m sphinx -q -W -b html docs docs/_build/html
	scripts/check-links docs/_build/html

fuzz: .build/setup-test ## Fuzz the codecs for a minute each
	scripts/fuzz 60

simulate: ## Simulate schedules of clients, upstreams and timers for ten minutes
	scripts/simulate --sockets
	scripts/simulate --ring a --seconds 300
	scripts/simulate --ring b --seconds 300

bench: build .build/setup-bench ## CPU per request next to Envoy, nginx and HAProxy, in one interleaved run
	PATH="$(CURDIR)/.venv/peers/bin:$$PATH" MESHER_BIN="$(CURDIR)/$(BINARY)" PEERS_PYTHON="$(CURDIR)/$(PYTHON)" Benchmarks/Load/bench.py $(BENCH)

oracle: .build/setup-test .build/setup-oracle ## Record anew what Envoy does in the scenarios of Tests/Istio
	cd Tests/Istio && $(CURDIR)/$(PYTHON) -m controlplane.check --envoy --record $(ORACLE)

setup: .build/setup-build .build/setup-test ## Install what building and testing need

.build/setup-%: scripts/setup scripts/requirements.txt
	scripts/setup $*
	@mkdir -p .build && touch $@

clean: ## Remove what was built
	rm -rf .build .build-fuzz .build-micro docs/_build
