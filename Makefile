# Everything is built into build/, which git ignores.
.DEFAULT_GOAL := help
.PHONY: help build demo test clients bench lint fuzz soak differential golden clean

help: ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## Build build/bin/bqgate, the product
	scripts/build.sh bqgate

demo: ## Run everything on loopback with example data (options: ARGS="--policy FILE …")
	@scripts/fetch-envoy.sh
	@scripts/build.sh bqgate-demo sqlengine $(if $(findstring emulator,$(ARGS)),bigquery-emulator)
	@exec build/bin/bqgate-demo demo $(ARGS)

test: ## Install what is missing, build, and run all tests
	@scripts/test.sh

clients: ## Install unmodified Google clients and try each through the gateway (docs/compatibility.md; options: ONLY="python go")
	@scripts/clients.sh $(ONLY)

bench: ## Measure against the budgets, beside echo services of the same shape (docs/performance.md; options: ARGS="-only query")
	@scripts/fetch-envoy.sh
	@scripts/setup-tests.sh
	@scripts/build.sh bqgate-demo sqlengine
	CGO_ENABLED=0 go run ./e2e/bench $(ARGS)

lint: ## Formatting, vet, shellcheck
	@scripts/lint.sh

fuzz: ## Run each fuzz target for FUZZTIME=30s
	@scripts/fuzz.sh

soak: ## Run the suites COUNT=10 times over, to find what fails rarely
	@scripts/fetch-envoy.sh
	@scripts/setup-tests.sh
	@scripts/build.sh bqgate-sql-worker bqgate-demo sqlengine bigquery-emulator
	CGO_ENABLED=1 go test -race -count $(or $(COUNT),10) -timeout 6h $$(scripts/packages.sh plain)
	CGO_ENABLED=0 go test -count 1 -timeout 1h -run '^TestNoGrowth$$' -v ./internal/googlesql -analyses 100000
	CGO_ENABLED=0 go test -tags 'e2e demo' -count $(or $(COUNT),10) -timeout 6h ./e2e

differential: ## Compare the analysis with what N=50000 generated queries do, from SEED=1
	@scripts/build.sh bqgate-sql-worker sqlengine
	CGO_ENABLED=0 go test -count 1 -timeout 12h -run '^TestDifferential$$' -v ./e2e/difftest -queries $(or $(N),50000) -changes 3 -seed $(or $(SEED),1)

golden: ## Write the generated Envoy configurations in envoy/testdata anew
	CGO_ENABLED=0 go test ./envoy -run TestGolden -update

clean: ## Remove build/
	rm -rf build
