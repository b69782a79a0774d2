# Everything is built into build/, which git ignores.
.DEFAULT_GOAL := help
.PHONY: help deps build demo test test-unit lint clients bench differential conformance neighbours fuzz soak repeat golden clean

# Times are those of a machine with two cores. "The first time" also compiles Google's SQL grammar:
# about 5 minutes and 7 GB of memory.
help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 21

deps: ## Install what demo and tests need: Envoy, redis-server, Chromium, the Python client (seconds; 2 min the first time)
	@scripts/fetch-envoy.sh
	@scripts/setup-tests.sh

build: ## Build build/bin/bqgate, the product (seconds; 6 min the first time)
	scripts/build.sh bqgate

demo: ## Run everything on loopback with example data; options: ARGS="--policy FILE …" (2 s to start; 6 min the first time)
	@scripts/fetch-envoy.sh
	@scripts/build.sh bqgate-demo sqlengine $(if $(findstring emulator,$(ARGS)),bigquery-emulator)
	@exec build/bin/bqgate-demo demo $(ARGS)

test: deps ## Build, lint and run all tests, on a fresh machine too (10 min; 25 min the first time)
	@scripts/test.sh

test-unit: ## Run the tests that need only Go and redis-server: no Envoy, no browser, no SQL grammar (under 2 min)
	@scripts/test-unit.sh

lint: ## Check formatting, long lines, vet, golangci-lint and shellcheck (1 to 3 min; 6 min the first time)
	@scripts/lint.sh

clients: ## Install unmodified Google clients and try each through the gateway; options: ONLY="python go" (4 min; 6 min the first time)
	@scripts/clients.sh $(ONLY)

bench: deps ## Measure against the budgets, beside echo services of the same shape; options: ARGS="-only query" (4 min)
	@scripts/build.sh bqgate-demo sqlengine
	CGO_ENABLED=0 go run ./e2e/bench $(ARGS)

differential: ## Compare the SQL analysis with what N=50000 generated queries do, from SEED=1 (an hour)
	@scripts/build.sh bqgate-sql-worker sqlengine
	CGO_ENABLED=0 go test -count 1 -timeout 12h -run '^TestDifferential$$' -v ./e2e/difftest \
		-queries $(or $(N),50000) -changes 3 -seed $(or $(SEED),1)

conformance: ## Hold the stand-in for Google against its documents, and a real project: BQGATE_REAL_PROJECT=… (10 s; with one, 1 min)
	@scripts/build.sh sqlengine
	CGO_ENABLED=0 go test -count 1 -timeout 10m -v ./e2e/fakegoogle \
		-run '^(TestConformance|TestOpenQuestions|TestAnswersAreValid|TestErrorsAreValid)$$'
	@test -n "$$BQGATE_REAL_PROJECT" || \
		echo "BQGATE_REAL_PROJECT is not set: the cases ran against the stand-in alone (docs/conformance.md)"

neighbours: deps ## Measure honest callers beside floods of every kind; options: ARGS="-only idle -flood 10s" (1 h)
	@scripts/build.sh bqgate-demo sqlengine
	CGO_ENABLED=0 go run ./e2e/neighbours $(ARGS)

fuzz: ## Run each fuzz target for FUZZTIME=30s (14 min for all 27)
	@scripts/fuzz.sh

soak: deps ## Break one part after the other beneath the load of 200 callers; options: ARGS="-length 10m -seed 1" (35 min)
	@scripts/build.sh bqgate-demo sqlengine
	CGO_ENABLED=0 go run ./e2e/soak/command $(ARGS)

repeat: deps ## Run the suites COUNT=10 times over, to find what fails rarely (2 h)
	@scripts/build.sh bqgate-sql-worker bqgate-demo sqlengine bigquery-emulator
	CGO_ENABLED=1 go test -race -count $(or $(COUNT),10) -timeout 6h $$(scripts/packages.sh plain)
	CGO_ENABLED=0 go test -count 1 -timeout 1h -run '^TestNoGrowth$$' -v ./internal/googlesql -analyses 100000
	CGO_ENABLED=0 go test -tags 'e2e demo' -count $(or $(COUNT),10) -timeout 6h ./e2e

golden: ## Write the generated Envoy configurations in envoy/testdata anew (seconds)
	CGO_ENABLED=0 go test ./envoy -run TestGolden -update

clean: ## Remove build/
	rm -rf build
