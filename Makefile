# Causeway's targets; `make help` lists them. Needs git, Go and Node; `make test`
# installs what else it needs where it can (scripts/setup.sh).
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
ARGS ?=

.PHONY: help run build check test test-go test-web test-realtime test-e2e test-infra test-infra-full test-fuzz test-functions functions-package bench clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12 | sed 's/^/  make /'

run: build ## build everything, start it, print the addresses to open (ARGS="--listen :8080" for flags)
	@exec bin/causeway serve $(ARGS)

build: web/node_modules/.ready ## one self-contained bin/causeway, with the front end inside
	@npm --prefix web run --silent build
	@CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/causeway ./cmd/causeway

web/node_modules/.ready: web/package-lock.json
	@scripts/setup.sh toolchain
	@npm --prefix web ci --no-audit --no-fund --loglevel=error
	@touch $@

check: web/node_modules/.ready ## the quick gate: format, vet, staticcheck, architecture, types, known vulnerabilities
	@test -z "$$(gofmt -l cmd deploy internal *.go | tee /dev/stderr)" || { echo 'check: run gofmt -w on these files' >&2; exit 1; }
	@go vet ./...
	@go run $(STATICCHECK) ./...
	@go test -count=1 .
	@npm --prefix web run --silent check
	@scripts/vulncheck.sh $(GOVULNCHECK)
	@echo 'check: ok'

test: ## Go with -race, web, the real binary, real browsers; test-infra and test-functions are beside it
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory check test-web build
	@$(MAKE) --no-print-directory -j2 --output-sync=target BUILT=1 test-go test-realtime
	@$(MAKE) --no-print-directory -j2 --output-sync=target BUILT=1 test-e2e test-fuzz

test-go: ## Go tests, with the race detector
	@CAUSEWAY_TEST_COTURN=1 CAUSEWAY_TEST_NAT=1 CAUSEWAY_TEST_POSTGRES=1 go test -race -timeout 10m ./...

test-web: web/node_modules/.ready ## unit tests of the front end
	@npm --prefix web test --silent

# With BUILT nothing is built again: go test must not find the front end half written.
test-e2e: $(if $(BUILT),,build) ## browser tests against bin/causeway
	@scripts/e2e.sh

test-realtime: $(if $(BUILT),,build) ## the realtime service by unmodified SignalR clients, in Node and in Chromium
	@scripts/e2e.sh web/realtime/*.test.mjs

test-fuzz: ## a minute of fuzzing what reads the relay's packets
	@nice -n 19 scripts/fuzz.sh

# As deployed: started by a double of the Functions host, with the realtime service in the place of Azure SignalR. The suites
# of Send, of the chat and of the example chat, as they are.
test-functions: $(if $(BUILT),,build) ## the browser tests of the pages once more, in the shape that Causeway has on Azure
	@for z in functions again; do bin/causeway package bin/$$z.zip || exit 1; done; cmp bin/functions.zip bin/again.zip && rm bin/again.zip
	@test "$$(stat -c %s bin/functions.zip)" -lt 30000000 || { echo 'test-functions: the package has 30 MB or more' >&2; exit 1; }
	@CAUSEWAY_E2E_SHAPE=functions scripts/e2e.sh $(patsubst %,web/e2e/%.test.mjs,pages transfer hostile keyboard tamper regions chat chat-sealed) web/realtime/demo.test.mjs

functions-package: build ## bin/functions.zip, to deploy as a function app (on Linux, for Linux)
	@bin/causeway package bin/functions.zip

test-infra: ## infrastructure, pipelines, static site: the real provider against a stand-in for Azure
	@scripts/infra.sh test

test-infra-full: ## the same by the whole provider, and each example applied, planned again, destroyed
	@scripts/infra.sh test full

bench: build ## start-up, relay, realtime service, memory of a 1 GB transfer: an hour or so (docs/benchmarks.md)
	@bin/causeway bench start
	@bin/causeway bench relay
	@go test -run '^$$' -bench Failover -benchtime 3x ./internal/acceptance
	@bin/causeway bench realtime
	@bin/causeway bench functions
	@bin/causeway bench guard
	@CAUSEWAY_E2E_TIMEOUT=5400000 scripts/e2e.sh web/e2e/memory.soak.mjs

clean: ## remove what was built
	@rm -rf bin web/node_modules
	@find internal/web/dist -mindepth 1 ! -name .gitignore -delete
