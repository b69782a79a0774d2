#!/usr/bin/env bash
# All tests: builds one thing after the other, then lint, unit tests and end-to-end tests. Every
# suite runs, also after one has failed; the exit status says whether all passed. `make test` runs
# `make deps` first, which installs what they need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s (%d min %02d s)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

step "binaries (the first time this compiles Google's SQL grammar: about 5 minutes and 7 GB)"
scripts/build.sh bqgate-sql-worker bqgate bqgate-demo sqlengine bigquery-emulator

plain=$(scripts/packages.sh plain | grep -v '/envoy$')
engine=$(scripts/packages.sh engine)
failed=()
suite() { # suite NAME COMMAND…
  step "$1"
  "${@:2}" || failed+=("$1")
}
suite "lint" scripts/lint.sh
# shellcheck disable=SC2086 # lists of packages are words
{
  suite "unit tests, with the race detector" env CGO_ENABLED=1 go test -race -timeout 15m $plain
  # A real Envoy gives its services two seconds to answer a ping: these tests have the machine to
  # themselves.
  suite "Envoy's configuration on the real binary" env CGO_ENABLED=1 go test -race -timeout 10m ./envoy
  suite "unit tests that link the SQL grammar" env CGO_ENABLED=0 go test -timeout 15m $engine
}
suite "SQL engine of the stand-ins" env CGO_ENABLED=0 go -C e2e/sqlengine test -timeout 5m ./...
suite "end to end" env CGO_ENABLED=0 go test -tags 'e2e demo' -count 1 -timeout 25m ./e2e ./e2e/demo

if ((${#failed[@]})); then
  printf '\nfailed: %s\n' "${failed[@]}" >&2
  exit 1
fi
