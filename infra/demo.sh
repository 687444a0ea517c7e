#!/usr/bin/env bash
# The demo without containers: installs what is missing, builds, fetches what Firewatch runs over beside that, and
# starts. Its settings are those of `make demo`, in the environment.
set -euo pipefail
cd "$(dirname "$0")/.."

echo 'Firewatch, natively: Kafka, PostgreSQL, a mail sink, the six agents and a simulated shop in which a fault breaks out.'
if [ -x target/debug/stack ]; then
    echo 'Built before: it is up within half a minute. The fault comes 20 s later, its postmortem within two minutes.'
else
    echo 'The first time it compiles everything and fetches Kafka, which takes about seven minutes on two cores. Then it is'
    echo 'up within half a minute, the fault comes 20 s later, and its postmortem within two minutes. Ctrl-C ends it.'
fi
echo

# Megabytes that a first build, or a run, takes at most.
need=$([ -x target/debug/stack ] && echo 1500 || echo 6000)
free=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ "$free" -lt "$need" ]; then
    echo "error: $free MB are free in $PWD, $need are needed" >&2
    exit 1
fi

infra/install.sh

# in a group of its own, so that it ends with us whatever it has started
setsid infra/fetch.sh "${FIREWATCH_TOOLS_DIR:-.tools}" >/dev/null &
fetch=$!
finish() { kill -TERM -- "-$fetch" 2>/dev/null || true; }
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

infra/build.sh demo
wait "$fetch"
trap - EXIT INT TERM HUP
exec target/debug/stack demo
