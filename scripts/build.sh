#!/usr/bin/env bash
# Builds binaries into build/bin, one after the other, and says how far it is:
#
#   scripts/build.sh bqgate bqgate-demo bqgate-sql-worker sqlengine bigquery-emulator
#
# Google's SQL grammar is one package that the compiler needs about five minutes and 7 GB of memory
# for, once; so nothing here runs in parallel, and a lock keeps two runs apart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p build/bin
exec 9>build/.build.lock
if ! flock -n 9; then
  echo "build: waiting for another build of this checkout"
  flock 9
fi
export CGO_ENABLED=0

# one NAME FOLDER PACKAGE [FLAG…]
one() {
  local name=$1 folder=$2 package=$3 begin=$SECONDS ticker status=0
  shift 3
  local all
  all=$(cd "$folder" && go list -deps "$@" "$package" | wc -l)
  (
    while sleep 30; do echo "build: $name: still compiling, $((SECONDS - begin)) s"; done
  ) &
  ticker=$!
  # -v names the packages that are not in the build cache; what is no package path is an error.
  (cd "$folder" && go build -v "$@" -o "$OLDPWD/build/bin/$name" "$package" 2>&1) |
    awk -v name="$name" -v all="$all" '
      /^[A-Za-z0-9_.~\/-]+$/ { if (++n % 100 == 0) { printf "build: %s: %d of at most %d packages\n", name, n, all; fflush() } next }
      { print > "/dev/stderr" }' || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if ((status)); then
    echo "build: $name failed" >&2
    exit "$status"
  fi
  echo "build: build/bin/$name ($((SECONDS - begin)) s)"
}

for name in "$@"; do
  case "$name" in
    bqgate) one "$name" . ./cmd/bqgate ;;
    bqgate-demo) one "$name" . ./cmd/bqgate -tags demo ;;
    bqgate-sql-worker) one "$name" . ./internal/googlesql/engine/worker ;;
    # A module of its own: the upstream's SQL engine brings other versions of everything.
    sqlengine) one "$name" e2e/sqlengine . ;;
    bigquery-emulator) one "$name" e2e/sqlengine github.com/goccy/bigquery-emulator/cmd/bigquery-emulator ;;
    *)
      echo "build: unknown binary $name" >&2
      exit 2 ;;
  esac
done
