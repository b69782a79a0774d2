#!/usr/bin/env bash
# Runs each fuzz target for FUZZTIME (default 30s). New failing inputs are kept in testdata/fuzz of
# the package: commit them with the fix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=0

scripts/fetch-envoy.sh
for package in $(go list ./...); do
  go test -list '^Fuzz' "$package" | { grep '^Fuzz' || true; } | while read -r target; do
    echo "fuzz: $package $target for ${FUZZTIME:-30s}"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "$package" </dev/null
  done
done
