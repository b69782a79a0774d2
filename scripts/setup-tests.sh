#!/usr/bin/env bash
# Installs what only the tests need: redis-server (with apt, where it is missing and this user may) and, into build/venv,
# the Python client of BigQuery.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p build

# root COMMAND… runs a command as root, where that needs no password.
root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# apt PACKAGE WHY
apt() {
  if ! command -v apt-get >/dev/null || { [[ $(id -u) != 0 ]] && ! sudo -n true 2>/dev/null; }; then
    echo "setup: $2 is missing; install the package $1 (apt-get install $1) and run this again" >&2
    exit 1
  fi
  echo "setup: installing the package $1 with apt-get ($2 is missing)"
  root apt-get update -qq
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

if command -v redis-server >/dev/null; then
  echo "setup: $(command -v redis-server) is there"
else
  apt redis-server redis-server
  # Tests start servers of their own; the package's one is not wanted.
  root service redis-server stop >/dev/null 2>&1 || true
fi

want=$(sha256sum scripts/requirements.txt | cut -d' ' -f1)
if [[ $(cat build/venv/.requirements 2>/dev/null) == "$want" ]] && build/venv/bin/python -c 'import google.cloud.bigquery' 2>/dev/null; then
  echo "setup: build/venv is there"
  exit 0
fi
echo "setup: installing the Python client of BigQuery into build/venv"
rm -rf build/venv
if ! python3 -m venv build/venv 2>/dev/null; then
  apt python3-venv "Python's venv module"
  rm -rf build/venv
  python3 -m venv build/venv
fi
build/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt
echo "$want" >build/venv/.requirements
