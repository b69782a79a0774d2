#!/usr/bin/env bash
# Formatting, vet and shell scripts. Says what is wrong and changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

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
CGO_ENABLED=0 go vet -tags 'demo e2e clients' ./...
(cd e2e/engine && CGO_ENABLED=0 go vet ./...)
echo "lint: clean"
