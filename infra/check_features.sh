#!/bin/sh
# Compiles each feature of `shared` alone, and each agent as its image has it: in a build of the whole workspace features are
# united, which hides a missing one. A loop, because cargo-hack would have to be compiled for it.
set -eu
cd "$(dirname "$0")/.."

features=$(sed -n '/^\[features\]/,/^\[/{s/^\([a-z]*\) = .*/\1/p}' shared/Cargo.toml)
for feature in $features; do
    echo "  shared with $feature" >&2
    cargo check --quiet -p shared --no-default-features --features "$feature"
done
for package in $(infra/agents); do
    echo "  $package alone" >&2
    cargo check --quiet -p "$package"
done
# what detection must not link
if cargo tree -p detection --edges normal --prefix none | grep -E '^(tokio-postgres|qdrant-client|fastembed) '; then
    echo 'detection links a store' >&2
    exit 1
fi
