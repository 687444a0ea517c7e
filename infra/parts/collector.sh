#!/bin/sh
# Prints where the OpenTelemetry Collector is, and builds it before if it is not there. What it is built from is in
# collector/; the program is in .tools, in a folder that is named after a hash of that.
#
#     infra/parts/collector.sh             builds it where it is missing (Go 1.26, about six minutes of processor time)
#     infra/parts/collector.sh --built     fails where it is missing
set -eu

source=$(cd "$(dirname "$0")/collector" && pwd)
tools=${FIREWATCH_TOOLS_DIR:-$source/../../../.tools}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
hash=$(cd "$source" && cat go.mod go.sum ./*.go | sha256sum | cut -c 1-12)
dir=$tools/collector-$hash

if [ ! -x "$dir/otelcol-firewatch" ]; then
    if [ "${1:-}" = --built ]; then
        exit 1
    fi
    if ! command -v go >/dev/null; then
        echo 'go is missing: https://go.dev/dl, 1.26 or later' >&2
        exit 1
    fi
    exec 9>"$tools/collector.lock"
    flock 9
    if [ ! -x "$dir/otelcol-firewatch" ]; then
        echo 'building the OpenTelemetry Collector' >&2
        partial=$tools/collector.partial
        rm -rf "$partial"
        (cd "$source" && GOFLAGS="${GOFLAGS:-} -buildvcs=false -mod=readonly" \
            go build -trimpath -tags remove_all_sd -ldflags='-s -w' -o "$partial/otelcol-firewatch" .) >&2
        rm -rf "$tools"/collector-*
        mv "$partial" "$dir"
    fi
    exec 9>&-
fi
echo "$dir/otelcol-firewatch"
