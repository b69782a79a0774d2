#!/usr/bin/env bash
# Formatting, vet and shell syntax. Says what is wrong and changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

unformatted=$(find . -name '*.go' -not -path './build/*' -print0 | xargs -0 gofmt -l)
if [[ -n $unformatted ]]; then
  echo "lint: not formatted, run gofmt -w on:" >&2
  echo "$unformatted" >&2
  exit 1
fi
for script in scripts/*.sh .ci/run; do bash -n "$script"; done
CGO_ENABLED=0 go vet -tags 'demo e2e clients' ./...
(cd e2e/engine && CGO_ENABLED=0 go vet ./...)
echo "lint: clean"
