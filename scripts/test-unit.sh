#!/usr/bin/env bash
# The contributor's loop: the tests that need only Go and redis-server. Says which packages it
# leaves to `make test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v redis-server >/dev/null; then
  echo "test-unit: redis-server is missing: \`make deps\` installs it (or apt-get install redis-server)" >&2
  exit 1
fi
# shellcheck disable=SC2046 # a list of packages is words
CGO_ENABLED=0 go test -timeout 10m $(scripts/packages.sh unit) || code=$?
printf '\nleft to make test, since they need Envoy or the SQL engine:\n'
{ scripts/packages.sh left; scripts/packages.sh engine; } | sed 's|github.com/bqgate/bqgate|  .|'
exit "${code:-0}"
