#!/usr/bin/env bash
# Formatting, long lines, vet, golangci-lint and shellcheck. Says what is wrong and changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=0

unformatted=$(find . -name '*.go' -not -path './build/*' -print0 | xargs -0 gofmt -l)
if [[ -n $unformatted ]]; then
  echo "lint: not formatted, run gofmt -w on:" >&2
  echo "$unformatted" >&2
  exit 1
fi

scripts=(scripts/*.sh .ci/run)
shellcheck=$(scripts/fetch-shellcheck.sh)
"$shellcheck" --severity=style "${scripts[@]}"
# What shellcheck has no check for: under pipefail a reader that stops early ends its writer by
# SIGPIPE, and the pipe fails now and then. The whole answer belongs into a variable instead.
into='[|] *'
if grep -nE -e "$into"'grep +(-[a-zA-Z]+ +)*-[a-zA-Z]*[qm]' -e "$into"'head\b' -e "$into"'sed .*[0-9$/]q\b' -e "$into"'awk .*exit' \
  "${scripts[@]}"; then
  echo "lint: pipes into a reader that stops early, above: put the whole answer into a variable and look at that" >&2
  exit 1
fi

# Comments and Markdown of at most 100 columns, code of at most 140.
go run ./scripts/columns . || {
  echo "lint: lines that are too long, above" >&2
  exit 1
}

# CONTRIBUTING.md has every package on its map.
missing=$(go list -tags 'demo e2e clients' -f '{{.Dir}}' ./... | while read -r folder; do
  folder=${folder#"$PWD"/}
  grep -qF -e "\`$folder\`" -e "\`${folder#internal/}\`" -e "\`${folder##*/}\`" \
    -e "\`${folder#internal/*/}\`" CONTRIBUTING.md || echo "$folder"
done)
if [[ -n $missing ]]; then
  echo "lint: packages that CONTRIBUTING.md does not name:" >&2
  echo "$missing" >&2
  exit 1
fi

go vet -tags 'demo e2e clients' ./...
(cd e2e/sqlengine && go vet ./...)

# No linter loads the grammar in reasonable memory: what links it gets, beside go vet, the linters
# that read the text of a file alone.
golangci=$(scripts/fetch-golangci-lint.sh)
export GOLANGCI_LINT_CACHE=$PWD/build/golangci-lint GOGC=50 # 1.3 GB at most
"$golangci" run --enable-only depguard,lll,nolintlint ./...
engine=$(scripts/packages.sh engine)
folders=$(go list -tags 'demo e2e clients' -f '{{.Dir}}' ./... | grep -vxF "${engine//github.com\/bqgate\/bqgate/$PWD}")
# shellcheck disable=SC2086 # a list of folders is words
"$golangci" run --concurrency 2 $folders
echo "lint: clean"
