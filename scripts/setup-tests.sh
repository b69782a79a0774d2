#!/usr/bin/env bash
# Installs what only the tests need: redis-server, Chromium and a font (with apt, where they are
# missing and this user may), the Python client of BigQuery into build/venv, and axe-core, which
# looks for what people who cannot see or use a mouse would miss, into build/axe.
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
  [[ -n ${updated:-} ]] || root apt-get update -qq
  updated=yes
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

if command -v redis-server >/dev/null; then
  echo "setup: $(command -v redis-server) is there"
else
  apt redis-server redis-server
  # Tests start servers of their own; the package's one is not wanted.
  root service redis-server stop >/dev/null 2>&1 || true
fi

if command -v chromium >/dev/null; then
  echo "setup: $(command -v chromium) is there"
else
  apt chromium chromium
fi
fonts=$(fc-list 2>/dev/null) || fonts=
[[ -n $fonts ]] || apt fonts-dejavu-core "any font"

axe_version=4.14.1
axe_sha256=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
if echo "$axe_sha256  build/axe/axe.min.js" | sha256sum --check --status 2>/dev/null; then
  echo "setup: build/axe is there"
else
  command -v npm >/dev/null || apt npm npm
  echo "setup: fetching axe-core $axe_version (MPL-2.0, for tests only) into build/axe"
  rm -rf build/axe
  mkdir -p build/axe
  (
    cd build/axe
    npm pack --silent "axe-core@$axe_version" >/dev/null
    tar -xzf "axe-core-$axe_version.tgz" --strip-components=1 package/axe.min.js package/LICENSE
    rm "axe-core-$axe_version.tgz"
  )
  echo "$axe_sha256  build/axe/axe.min.js" | sha256sum --check --quiet
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
