#!/usr/bin/env bash
# The demo under adverse conditions: each case must end soon, print one clear line, and leave no process. Needs the binaries of
# `make build-demo`. Cases that need root are skipped without it, and a line says so.
#
#     tests/demo/endings.sh
set -uo pipefail
cd "$(dirname "$0")/../.."
stack=$PWD/target/debug/stack
work=$(mktemp -d)
failed=0

# Counts the processes of a run in $1.
left() { pgrep --full --count -- "$1" || true; }

# Prints the outcome of a case: verdict NAME CONDITION...
verdict() {
    local name=$1
    shift
    if "$@"; then
        echo "ok       $name"
    else
        echo "FAILED   $name"
        sed 's/^/         | /' "$work/log" | tail -n 8
        failed=1
    fi
}

# Runs a command with its output in the log, for at most $1 seconds; its exit code is in $code.
bounded() {
    local limit=$1
    shift
    timeout --kill-after=5 "$limit" "$@" >"$work/log" 2>&1
    code=$?
}

says() { grep --quiet -- "$1" "$work/log"; }
ended() { [ "$code" -ne 0 ] && [ "$code" -ne 124 ] && [ "$code" -ne 137 ]; }
nothing_left() {
    local tries
    for tries in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(left "$1")" -eq 0 ] && return 0
        sleep 0.5
    done
    pgrep --full --list-full -- "$1" | cut -c 1-150 >>"$work/log"
    return 1
}

interrupted_after() {
    local dir=$work/run-$1 pid
    setsid "$stack" demo --once --dir "$dir" >"$work/log" 2>&1 &
    pid=$!
    sleep "$1"
    kill -INT -- "-$pid"
    local tries=0
    while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 60 ]; do
        sleep 0.5
        tries=$((tries + 1))
    done
    [ "$tries" -lt 60 ] && nothing_left "$dir"
}

for moment in 0.3 2 5 9 14 25; do
    verdict "Ctrl-C $moment s after the start" interrupted_after "$moment"
done

# a background process of a script ignores SIGINT by default
interrupted_cold() {
    local clone=$work/clone pid
    git clone --quiet . "$clone" || return 1
    (cd "$clone" && exec setsid env --default-signal=INT make demo-native) >"$work/log" 2>&1 &
    pid=$!
    sleep 6
    kill -INT -- "-$pid"
    wait "$pid" 2>/dev/null
    says 'interrupted while' && nothing_left "$clone"
}
verdict 'Ctrl-C during a first build' interrupted_cold

# a second demo in the folder of the first
dir=$work/first
setsid "$stack" demo --dir "$dir" >"$work/first.log" 2>&1 &
first=$!
until [ -s "$dir/lock" ]; do sleep 0.1; done
bounded 20 "$stack" demo --once --dir "$dir"
second() { ended && says 'already running'; }
verdict 'a second demo beside the first' second
kill -9 "$first"
verdict 'the first one killed with kill -9' nothing_left "$dir"

# a proxy that does not answer must not be used for local addresses
bounded 90 env http_proxy=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 all_proxy=http://127.0.0.1:9 "$stack" run -- true
verdict 'a proxy is set' test "$code" -eq 0

if [ "$(id -u)" -eq 0 ] && mkdir "$work/tiny" && mount -t tmpfs -o size=24m tmpfs "$work/tiny" 2>/dev/null; then
    bounded 90 "$stack" demo --once --dir "$work/tiny/run"
    full() { ended && says 'error: ' && nothing_left "$work/tiny/run"; }
    verdict 'no disk left' full
    umount "$work/tiny"
else
    echo 'skipped  no disk left (needs root)'
fi

if [ "$(id -u)" -eq 0 ] && unshare --net true 2>/dev/null; then
    mkdir "$work/home"
    bounded 120 unshare --net env HOME="$work/home" npm_config_cache="$work/home/npm" \
        MAVEN_OPTS="-Dmaven.repo.local=$work/home/m2" infra/fetch.sh "$work/tools"
    offline() { ended && says 'failed after 3 tries' && nothing_left "$work/tools"; }
    verdict 'no network and nothing fetched' offline
else
    echo 'skipped  no network (needs root)'
fi

rm -rf "$work"
exit "$failed"
