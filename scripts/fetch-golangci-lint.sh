#!/usr/bin/env bash
# Prints the path of golangci-lint of the version that scripts/lint/go.mod pins; builds it into
# build/bin where there is none.
#
# It is built from source, every module of it checked against scripts/lint/go.sum: three minutes and
# 1 GB the first time, nothing later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool=github.com/golangci/golangci-lint/v2
target=build/bin/golangci-lint
version=$(cd scripts/lint && go list -m -f '{{.Version}}' "$tool")

# The whole answer is read before it is looked at, as in scripts/fetch-envoy.sh.
fits() {
  local says
  says=$("$target" version --short 2>/dev/null) && [[ $says == "${version#v}" ]]
}

if ! fits; then
  echo "lint: building golangci-lint $version into build/bin (the first time: 3 minutes)" >&2
  mkdir -p build/bin
  (
    cd scripts/lint
    CGO_ENABLED=0 go build -p 2 -trimpath -ldflags "-s -w -X main.version=${version#v}" -o "../../$target" \
      "$tool/cmd/golangci-lint" >&2
  )
  if ! fits; then
    echo "lint: $target does not say that it is $version" >&2
    exit 1
  fi
fi
echo "$target"
