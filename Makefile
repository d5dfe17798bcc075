# weir. `make run` starts it for trying out, `make test` sets up what the tests need and runs them all.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

GO       ?= go
BIN      := bin
LINT     := v2.15.0
VULN     := v1.4.0
export BENCHSTAT := v0.0.0-20260908200009-22c9c6c9d4da
REVISION := $(shell git describe --match= --always --abbrev=12 --dirty 2>/dev/null)
SYSTEMS  := linux/arm64 darwin/arm64 windows/amd64
FUZZTIME ?= 10s
SIZES    := TestDialectEncodesOnce|TestSimulation|TestShareDBNeverPanics|TestIndexTriesFew|TestManySubscribers|TestConnectAllocations|TestCommandAllocations|TestTracingOffIsFree
JOBS     ?= 2
VERSION  ?= 0.1.0
E2E      := cmd/weir/testdata/e2e
PUSHER   := cmd/weir/testdata/pusher
MOTIA    := cmd/weir/testdata/motia
CLIENT   := relay/web/client
PEERS    := loadtest/peers/centrifuge loadtest/peers/gws
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

export GOFLAGS ?= -buildvcs=auto

.PHONY: help build run cluster setup test suites unit race systems fmt lint vuln cover client peers e2e seeds sizes faults faults-cluster simulate fuzz bench bench-diff bench-cluster compare curves bench-client idle npm release clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/weir
	$(GO) build -trimpath -ldflags '-X weir/internal/buildinfo.stamped=$(REVISION)' -o $(BIN)/weir ./cmd/weir

run: build ## Start a relay for trying out, on 127.0.0.1:8080; what it keeps is in .weir-data
	@exec $(BIN)/weir serve --dev --data .weir-data --log-format text

cluster: build ## Start three nodes as one relay, on 127.0.0.1:8080 to 8082, with a NATS server in each
	@mkdir -p .weir-cluster; pids=; trap 'kill $$pids 2>/dev/null; wait' EXIT; trap 'exit 0' INT TERM; for n in 1 2 3; do \
	  $(BIN)/weir serve --dev --node weir-$$n --listen 127.0.0.1:$$((8079 + n)) --admin 127.0.0.1:$$((9089 + n)) --log-format text \
	    --cluster-listen 127.0.0.1:$$((6221 + n)) --cluster-routes 127.0.0.1:6222,127.0.0.1:6223,127.0.0.1:6224 --cluster-data .weir-cluster/$$n \
	    >.weir-cluster/$$n.log 2>&1 & pids="$$pids $$!"; done; \
	for n in 1 2 3; do for try in $$(seq 300); do curl -sf -o /dev/null 127.0.0.1:$$((9089 + n))/readyz && break; sleep 0.1; done || true; done; \
	for n in 1 2 3; do curl -sf -o /dev/null 127.0.0.1:$$((9089 + n))/readyz || { echo "weir-$$n is not ready: see .weir-cluster/$$n.log" >&2; exit 1; }; done; \
	printf '%s\n' "Three nodes are one relay. Their logs are in .weir-cluster; Ctrl-C ends them." "" "Listen on one:" \
	  "  open http://127.0.0.1:8082/ and subscribe to room:1, or" \
	  "  curl -N -H \"Authorization: Bearer $$($(BIN)/weir token --dev --sub u1)\" 'http://127.0.0.1:8082/sse?channel=room:1'" "" "Publish on another:" \
	  "  curl -H 'Authorization: Bearer dev' -d '{\"channel\":\"room:1\",\"data\":\"hello\"}' http://127.0.0.1:8080/v1/publish"; \
	wait

setup: ## Install what the tests need beside Go: Node.js and npm packages, a C compiler, nginx with nchan, Caddy, promtool, PostgreSQL, and the frameworks of docs/guides
	@missing=; need() { command -v $$1 >/dev/null || [ -x /usr/sbin/$$1 ] || missing="$$missing $$2"; }; \
	  need node nodejs; need npm npm; need cc gcc; need cc libc6-dev; need nginx nginx; need systemd-analyze systemd; need caddy caddy; need promtool prometheus; \
	  need php php-cli; need ruby ruby; need jq jq; need ip iproute2; \
	  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || need postgres postgresql; \
	  lib() { packages=$$1; shift; "$$@" >/dev/null 2>&1 || missing="$$missing $$packages"; }; \
	  lib "python3-django python3-psycopg2 python3-fastapi python3-multipart python3-uvicorn python3-httpx python3-jwt python3-requests" \
	    /usr/bin/python3 -c 'import django, psycopg2, fastapi, multipart, uvicorn, httpx, jwt, requests'; \
	  lib "ruby-railties ruby-activejob ruby-activerecord ruby-sqlite3 ruby-pg ruby-jwt ruby-webrick" \
	    ruby -e '%w[rails active_job active_record sqlite3 pg jwt webrick].each { |x| require x }'; \
	  lib "php-mbstring php-sqlite3 php-pgsql php-guzzlehttp-guzzle php-laravel-framework php-symfony-mercure php-symfony-http-client" \
	    php -r 'exit((int) !(extension_loaded("mbstring") && extension_loaded("pdo_sqlite") && extension_loaded("pdo_pgsql") && is_file("/usr/share/php/GuzzleHttp/autoload.php") && is_file("/usr/share/php/Illuminate/Foundation/Application.php") && is_file("/usr/share/php/Symfony/Component/Mercure/autoload.php")));'; \
	  lib libnginx-mod-nchan test -e /usr/lib/nginx/modules/ngx_nchan_module.so; \
	  [ -z "$$missing" ] || { \
	  command -v apt-get >/dev/null || { echo "make test needs$$missing: install them first" >&2; exit 1; }; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }
	@$(MAKE) -s --no-print-directory -j2 $(E2E)/node_modules/.package-lock.json $(PUSHER)/node_modules/.package-lock.json $(MOTIA)/node_modules/.package-lock.json $(CLIENT)/node_modules/.package-lock.json
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium; }
	@for dir in . $(PEERS); do (cd $$dir && $(GO) mod download) || exit 1; done

%/node_modules/.package-lock.json: %/package-lock.json
	@cd $* && npm ci --legacy-peer-deps --silent --no-audit --no-fund && touch node_modules/.package-lock.json

# Much of it waits, for processes, timeouts and the disk: side by side it takes about as long as the longest.
test: setup ## Set up and run every test, JOBS (2) targets at a time, also after one has failed; the long ones in their short form
	@$(MAKE) --no-print-directory -k -j$(JOBS) --output-sync=target race e2e seeds sizes lint systems client peers
	@$(MAKE) --no-print-directory faults SHORT=1 # alone: it measures times

suites: ## Run the long forms of the tests: unit tests in full size, every fault, a simulated day, each decoder fuzzed for a minute, rare cases of the models (two hours, root)
	$(MAKE) unit
	$(MAKE) faults
	$(MAKE) faults-cluster
	$(MAKE) simulate
	$(GO) test ./relay/relaytest/simulate -count=1 -timeout 60m -run "^TestSimulate$$" -seeds 600
	$(GO) test ./relay/relaytest/simulate -count=1 -timeout 90m -run "^TestSimulate.*Cluster$$" -seeds 600
	SUITES=1 $(GO) test -count=1 -v -timeout 120m -run "^TestMutations$$" ./internal/mutations
	WEIR_EVERY_BIT=1 $(GO) test ./broker/disk -count=1 -timeout 60m -run Damage
	$(GO) test -count=1 -timeout 60m $$(grep -rl --include=*_test.go pgregory.net/rapid batch broker pool relay loadtest | xargs -n1 dirname | sort -u | sed s,^,./,) -rapid.checks=5000
	$(MAKE) fuzz FUZZTIME=1m
	$(MAKE) release
	$(MAKE) build && E2E_BINARY=$(CURDIR)/$(BIN)/weir SUITES=1 $(GO) test -tags e2e -count=1 -v -timeout 15m -run E2EPusher ./cmd/weir

race: ## Unit tests with the race detector; those of many clients and of long stories with fewer
	$(GO) test -race -short -shuffle=on -timeout 20m ./...

peers: ## Test the driver of make compare, a module of its own
	cd loadtest/peers/compare && $(GO) vet . && $(GO) test .

unit: ## Unit tests without the race detector: quick
	$(GO) test -shuffle=on ./...

systems: ## Check everything, tests too, as it is compiled for the other systems
	$(GO) test -count=1 ./internal/layout -run TestOtherSystems -systems "$(SYSTEMS)"

fmt: ## Format the Go files
	gofmt -w $$(git ls-files '*.go')

lint: $(BIN)/golangci-lint-$(LINT) ## Run the linters
	$(BIN)/golangci-lint-$(LINT) run ./...

$(BIN)/golangci-lint-$(LINT):
	GOBIN=$(CURDIR)/$(BIN)/lint $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT)
	mv $(BIN)/lint/golangci-lint $@

vuln: ## Look for known vulnerabilities in what is used, if the database can be reached (GOVULNDB names another)
	@db=$${GOVULNDB:-https://vuln.go.dev}; case $$db in http*) curl -sf --max-time 20 -o /dev/null $$db/index/db.json || { \
	  echo "NOT CHECKED: the vulnerability database at $$db cannot be reached" >&2; exit 0; } ;; esac; \
	$(GO) run golang.org/x/vuln/cmd/govulncheck@$(VULN) -db $$db ./...

cover: ## Test coverage by package, and by line in bin/coverage.html
	@mkdir -p $(BIN)
	$(GO) test -coverpkg=./... -coverprofile=$(BIN)/coverage.out ./... >$(BIN)/coverage.log || { cat $(BIN)/coverage.log; exit 1; }
	@awk -F '[: ]' 'NR > 1 { key = $$1 ":" $$2; n[key] = $$3; if ($$4 > 0) hit[key] } \
	  END { for (k in n) { p = k; sub("/[^/]*$$", "", p); all[p] += n[k]; total += n[k]; if (k in hit) { got[p] += n[k]; sum += n[k] } } \
	    for (p in all) printf "%5.1f%%  %s\n", 100 * got[p] / all[p], p | "sort -n"; close("sort -n"); printf "%5.1f%%  in all\n", 100 * sum / total }' $(BIN)/coverage.out
	@$(GO) tool cover -html=$(BIN)/coverage.out -o $(BIN)/coverage.html

client: ## Check the client for browsers: its types, its tests, and that what is committed is what it makes
	cd $(CLIENT) && npm run --silent check

# It builds the binary itself: as a prerequisite, make would begin everything else first.
e2e: ## The real binary, driven by clients of others
	@$(MAKE) --no-print-directory build
	E2E_BINARY=$(CURDIR)/$(BIN)/weir $(GO) test -tags e2e -count=1 -timeout 30m -run E2E ./cmd/weir

faults: build ## Break the real binary in every way, full size (30 min, root; SHORT=1: four)
	FAULTS_BINARY=$(CURDIR)/$(BIN)/weir FAULTS_SHORT=$(SHORT) $(GO) test -tags faults -count=1 -v -timeout 90m $(if $(RUN),-run $(RUN),$(if $(SHORT),,-skip '^TestCluster')) ./internal/faults

faults-cluster: build ## Break clusters of the real binary, full size, and upgrade one from the commit before, or BEFORE=commit (an hour, root; ROUNDS=20: fewer restarts)
	@rm -rf $(BIN)/before && mkdir -p $(BIN)/before && git archive $(or $(BEFORE),HEAD~1) | tar -x -C $(BIN)/before
	cd $(BIN)/before && $(GO) build -buildvcs=false -trimpath -o ../weir-before ./cmd/weir && cd .. && rm -rf before
	FAULTS_BINARY=$(CURDIR)/$(BIN)/weir FAULTS_BEFORE=$(CURDIR)/$(BIN)/weir-before FAULTS_ROUNDS=$(ROUNDS) FAULTS_SHORT=$(SHORT) $(GO) test -tags faults -count=1 -v -timeout 120m -run '$(or $(RUN),Cluster|KillNode|NodesAsOne)' ./internal/faults

seeds: ## Simulate five minutes of the relay with faults, for 60 seeds, and of a cluster for 20
	$(GO) test ./relay/relaytest/simulate -count=1 -run "^TestSimulate$$" -seeds 60
	$(GO) test ./relay/relaytest/simulate -count=1 -run "^TestSimulate.*Cluster$$" -seeds 10

sizes: ## What make race has fewer of, in full: tests of many clients and of long stories; and of what is allocated, where it says nothing
	$(GO) test -count=1 -run "^($(SIZES))$$" ./relay ./relay/relaytest ./relay/systems/documents ./relay/systems/mercure

simulate: ## Simulate a day of the relay with faults; SEED=n replays one, SPAN=5m is shorter
	$(GO) test ./relay/relaytest/simulate -count=1 -v -timeout 60m -run "^TestSimulate$$" -seed $(or $(SEED),1) -span $(or $(SPAN),24h)

fuzz: ## Fuzz every decoder for FUZZTIME (10s) each
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; done

bench: ## Go benchmarks of the packages, for benchstat
	GOMAXPROCS=1 $(GO) test -run '^$$' -bench . -count=3 ./batch ./broker/... ./pool ./relay/... ./internal/...

bench-diff: ## Compare the benchmarks with those of the commit in .ci/baseline, or BASE=commit; fails if something got worse
	@.ci/bench-diff

bench-cluster: ## Measure three nodes beside one, and beside Centrifugo on Redis, for docs/benchmarks.md (10 min; QUICK=1: one)
	loadtest/cluster.sh

compare: ## Measure weir beside its peers and write docs/benchmarks.md (40 min; QUICK=1: two)
	loadtest/compare.sh

curves: ## Measure how weir's cost grows with connections, channels, payload and rate, on one core and two, into bin/curves.md (15 min; nothing else may run)
	@mkdir -p $(BIN)
	loadtest/compare.sh -curves >$(BIN)/curves.md
	@echo "the tables for docs/performance.md are in $(BIN)/curves.md"

bench-client: ## Measure weir bench beside a client in C: whether they agree, and what each message costs them (two minutes; nothing else may run)
	loadtest/compare.sh -client

npm: ## Pack the client for browsers as npm would publish it, into bin/npm
	@mkdir -p $(BIN)/npm && cd $(CLIENT) && npm run --silent check && npm pack --silent --pack-destination $(CURDIR)/$(BIN)/npm

# What is built comes from the commit alone; its time is that of every file.
release: ## Make what is published of VERSION (0.1.0), binaries, Debian packages, the npm client, an image, checksums, in bin/release, and try it
	cd internal/release && $(GO) run . -version "$(VERSION)" -revision "$(REVISION)" -time $$(git log -1 --format=%ct) $(RELEASES)
	cd internal/release && RELEASE=$(CURDIR)/$(BIN)/release $(GO) test -count=1 .

idle: build ## Memory of 10,000 idle subscribed connections
	@$(BIN)/weir serve --dev --listen 127.0.0.1:18080 --admin 127.0.0.1:19090 >/dev/null 2>$(BIN)/idle.log & trap "kill $$!" EXIT; \
	  until curl -sf http://127.0.0.1:19090/readyz >/dev/null; do sleep 0.1; done; \
	  $(BIN)/weir bench idle --url http://127.0.0.1:18080 --subscribers 10000 --channels 100 --duration 10s

clean: ## Remove what was built
	rm -rf $(BIN) .weir-data $(E2E)/node_modules $(CLIENT)/node_modules
