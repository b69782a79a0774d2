#!/usr/bin/env bash
# Lists packages of the module by whether their tests link the SQL engine, which is too large for
# the race detector:
#
#   scripts/packages.sh engine   packages that do
#   scripts/packages.sh plain    packages that do not
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck disable=SC2016 # a Go template: nothing in it is the shell's
engine=$(CGO_ENABLED=0 go list -test -f \
  '{{$p := .ImportPath}}{{range .Deps}}{{if eq . "github.com/goccy/go-googlesql"}}{{$p}}{{"\n"}}{{end}}{{end}}' ./... |
  sed 's/ \[.*//; s/\.test$//; s/_test$//' | sort -u)
case "${1:-}" in
  engine) echo "$engine" ;;
  plain) go list ./... | grep -vxF "$engine" ;;
  *)
    echo "usage: scripts/packages.sh engine|plain" >&2
    exit 2 ;;
esac
