#!/usr/bin/env bash
# Lists packages of the module by what their tests need:
#
#   scripts/packages.sh engine   link the SQL grammar, which is too large for the race detector
#   scripts/packages.sh plain    all others
#   scripts/packages.sh unit     of these, those that need nothing but Go and redis-server
#   scripts/packages.sh left     of these, those that need an Envoy or a built SQL engine too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck disable=SC2016 # a Go template: nothing in it is the shell's
engine=$(CGO_ENABLED=0 go list -test -f \
  '{{$p := .ImportPath}}{{range .Deps}}{{if eq . "github.com/goccy/go-googlesql"}}{{$p}}{{"\n"}}{{end}}{{end}}' ./... |
  sed 's/ \[.*//; s/\.test$//; s/_test$//' | sort -u)
# envoy starts an Envoy; internal/googlesql, difftest and rewrite a SQL worker, fakegoogle, difftest
# and rewrite the stand-in's SQL engine; e2e all of them.
left='^github.com/bqgate/bqgate/(envoy|internal/googlesql|e2e|e2e/(difftest|fakegoogle|rewrite))$'
plain() { go list ./... | grep -vxF "$engine"; }
case "${1:-}" in
  engine) echo "$engine" ;;
  plain) plain ;;
  unit) plain | grep -vE "$left" ;;
  left) plain | grep -E "$left" ;;
  *)
    echo "usage: scripts/packages.sh engine|plain|unit|left" >&2
    exit 2 ;;
esac
