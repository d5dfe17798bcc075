# weir. `make run` starts it for trying out, `make test` sets up what the tests need and runs them all.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

GO       ?= go
BIN      := bin
LINT     := v2.15.0
FUZZTIME ?= 10s
E2E      := cmd/weir/testdata/e2e
CLIENT   := relay/web/client
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

export GOFLAGS ?= -buildvcs=auto

.PHONY: help build run test unit race lint client e2e faults simulate fuzz bench compare idle clean setup

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/weir
	$(GO) build -trimpath -o $(BIN)/weir ./cmd/weir

run: build ## Start a relay for trying out, on 127.0.0.1:8080; what it keeps is in .weir-data
	@exec $(BIN)/weir serve --dev --data .weir-data --log-format text

setup: ## Install what the tests need beside Go: Node.js and npm packages, a C compiler, nginx, Caddy, promtool, and the frameworks of docs/guides
	@missing=; need() { command -v $$1 >/dev/null || [ -x /usr/sbin/$$1 ] || missing="$$missing $$2"; }; \
	  need node nodejs; need npm npm; need cc gcc; need cc libc6-dev; need nginx nginx; need caddy caddy; need promtool prometheus; \
	  need php php-cli; need ruby ruby; need jq jq; \
	  lib() { packages=$$1; shift; "$$@" >/dev/null 2>&1 || missing="$$missing $$packages"; }; \
	  lib "python3-fastapi python3-uvicorn python3-httpx python3-jwt python3-requests" /usr/bin/python3 -c 'import fastapi, uvicorn, httpx, jwt, requests'; \
	  lib "ruby-railties ruby-activejob ruby-activerecord ruby-sqlite3 ruby-jwt ruby-webrick" \
	    ruby -e '%w[rails active_job active_record sqlite3 jwt webrick].each { |x| require x }'; \
	  lib "php-mbstring php-guzzlehttp-guzzle php-illuminate-http php-illuminate-routing php-illuminate-events" \
	    php -r 'foreach (["Http", "Routing", "Events"] as $$x) require_once "Illuminate/$$x/autoload.php"; exit((int) !(extension_loaded("mbstring") && is_file("/usr/share/php/GuzzleHttp/autoload.php")));'; \
	  [ -z "$$missing" ] || { \
	  command -v apt-get >/dev/null || { echo "make test needs$$missing: install them first" >&2; exit 1; }; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }
	@cd $(E2E) && npm ci --silent --no-audit --no-fund
	@cd $(CLIENT) && npm ci --silent --no-audit --no-fund
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium; }
	@$(GO) mod download

test: setup lint race client e2e ## Set up and run every test; the faults in their short form
	$(GO) test ./relay/relaytest/simulate -count=1 -run "^TestSimulate$$" -seeds 60
	@$(MAKE) --no-print-directory faults SHORT=1

race: ## Unit tests with the race detector
	$(GO) vet ./...
	$(GO) test -race -shuffle=on -timeout 10m ./...
	cd loadtest/peers/compare && $(GO) vet . && $(GO) test .

unit: ## Unit tests without the race detector: quick
	$(GO) test -shuffle=on ./...

lint: $(BIN)/golangci-lint-$(LINT) ## Run the linters
	$(BIN)/golangci-lint-$(LINT) run ./...

$(BIN)/golangci-lint-$(LINT):
	GOBIN=$(CURDIR)/$(BIN)/lint $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT)
	mv $(BIN)/lint/golangci-lint $@

client: ## Check the client for browsers: its types, its tests, and that what is committed is what it makes
	cd $(CLIENT) && npm run --silent check

e2e: build ## The real binary, driven by clients of others
	E2E_BINARY=$(CURDIR)/$(BIN)/weir $(GO) test -tags e2e -count=1 -run E2E ./cmd/weir

faults: build ## Break the real binary in every way, full size (30 min, root; SHORT=1: two minutes)
	FAULTS_BINARY=$(CURDIR)/$(BIN)/weir FAULTS_SHORT=$(SHORT) $(GO) test -tags faults -count=1 -v -timeout 90m $(if $(RUN),-run $(RUN)) ./internal/faults

simulate: ## Simulate a day of the relay with faults; SEED=n replays one, SPAN=5m is shorter
	$(GO) test ./relay/relaytest/simulate -count=1 -v -timeout 60m -run "^TestSimulate$$" -seed $(or $(SEED),1) -span $(or $(SPAN),24h)

fuzz: ## Fuzz every decoder for FUZZTIME (10s) each
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; done

bench: ## Go benchmarks of the packages, for benchstat
	GOMAXPROCS=1 $(GO) test -run '^$$' -bench . -count=3 ./batch ./broker ./pool ./relay ./internal/wire

compare: ## Measure weir beside its peers and write docs/benchmarks.md (40 min; QUICK=1: two)
	loadtest/compare.sh

idle: build ## Memory of 10,000 idle subscribed connections
	@$(BIN)/weir serve --dev --listen 127.0.0.1:18080 --admin 127.0.0.1:19090 >/dev/null 2>$(BIN)/idle.log & trap "kill $$!" EXIT; \
	  until curl -sf http://127.0.0.1:19090/readyz >/dev/null; do sleep 0.1; done; \
	  $(BIN)/weir bench idle --url http://127.0.0.1:18080 --subscribers 10000 --channels 100 --duration 10s

clean: ## Remove what was built
	rm -rf $(BIN) .weir-data $(E2E)/node_modules $(CLIENT)/node_modules
