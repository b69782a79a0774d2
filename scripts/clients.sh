#!/usr/bin/env bash
# Installs Google's clients and tries each through the gateway: what docs/compatibility.md says,
# tested.
#
#   scripts/clients.sh [NAME…]     all of them, or those that are named
#
# A client that this machine has no tools for is reported as not run. One that does not install, or
# does not pass, fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/fetch-envoy.sh
scripts/setup-tests.sh
scripts/build.sh bqgate-demo sqlengine
all=(python go node java dbt toolbox)
if (($#)); then # those that are not named are not run, and say so
  for name in "${all[@]}"; do
    [[ " $* " == *" $name "* ]] || { mkdir -p build/clients; echo "not run: it was not asked for" >"build/clients/$name.status"; }
  done
  all=("$@")
fi
scripts/setup-clients.sh "${all[@]}"

code=0
CGO_ENABLED=0 go test -tags 'e2e demo clients' -count 1 -timeout 40m -v -run '^TestClients' ./e2e || code=$?
printf '\nclients, as they are installed here (TestClients says how each did):\n'
for name in python go node java dbt toolbox; do printf '  %-8s %s\n' "$name" "$(cat "build/clients/$name.status")"; done
exit "$code"
