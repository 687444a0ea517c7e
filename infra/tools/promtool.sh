#!/bin/sh
# Prints where promtool is: in the PATH, or unpacked from Debian's package into .tools. The package is not installed, because
# that would start a Prometheus on this machine. Fails, with the reason, where promtool cannot be had.
set -eu

if command -v promtool; then exit 0; fi

here=$(dirname "$0")
tools=${FIREWATCH_TOOLS_DIR:-$here/../../.tools}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
promtool=$tools/promtool/usr/bin/promtool

if [ ! -x "$promtool" ]; then
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo 'promtool is missing, and this is no Debian; it is part of https://prometheus.io/download' >&2
        exit 1
    fi
    echo 'fetching promtool' >&2
    partial=$tools/promtool.partial
    rm -rf "$partial"
    mkdir -p "$partial"
    # without root, the lists of packages have to be there
    [ "$(id -u)" -ne 0 ] || apt-get -qq update >&2 || true
    (cd "$partial" && apt-get -qq -o Acquire::Retries=3 -o APT::Sandbox::User=root download prometheus >&2) || {
        rm -rf "$partial"
        echo 'promtool is missing, and the Debian package prometheus cannot be fetched' >&2
        exit 1
    }
    dpkg-deb --extract "$partial"/prometheus_*.deb "$partial"
    rm -f "$partial"/prometheus_*.deb "$partial/usr/bin/prometheus"
    rm -rf "$tools/promtool"
    mv "$partial" "$tools/promtool"
fi
echo "$promtool"
