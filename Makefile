# What `make help` prints stands behind `##`.

CARGO ?= cargo
CARGO_FLAGS ?= --locked

.DEFAULT_GOAL := help

.PHONY: run
run: ## Build, and run a demo: a throw-away record with history, live traffic and live figures
	$(CARGO) run $(CARGO_FLAGS) -- demo

.PHONY: test
test: check ## Everything that CI runs: format, lints, licences, all tests
	$(CARGO) test $(CARGO_FLAGS) --all-features

.PHONY: check
check: ## Format, lints and (where cargo-deny is installed) licences and sources
	$(CARGO) fmt --check
	$(CARGO) clippy $(CARGO_FLAGS) --all-targets --all-features -- -D warnings
	$(CARGO) check $(CARGO_FLAGS)
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --log-level error check bans licenses sources; \
	else \
		echo "cargo-deny is not installed: licences and sources not checked"; \
	fi

.PHONY: clients
clients: client-packages ## Make the clients in Python and Node ready, so that their tests are not skipped
	$(MAKE) client-code

# In an environment of its own: what is installed for everybody stays as it is.
.PHONY: client-packages
client-packages:
	python3 -m venv target/clients
	target/clients/bin/pip install --quiet --disable-pip-version-check --only-binary :all: \
		--requirement examples/clients/python/requirements.txt
	cd examples/clients/node && npm ci --no-audit --no-fund

.PHONY: client-code
client-code:
	cd examples/clients/node && npm run generate

.PHONY: bench
bench: ## Compare with the peers that are installed; minutes
	$(CARGO) run $(CARGO_FLAGS) --release -- bench all

.PHONY: help
help: ## Print this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 10
