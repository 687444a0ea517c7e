#!/usr/bin/env bash
# Builds with cargo and shows one line of progress: how many crates of how many, and for how long.
#
#     infra/build.sh --workspace --bins       takes the arguments of `cargo build`
#     infra/build.sh demo                     what `make demo` and `make start` run
#
# What cargo says is in target/build.log; where it fails its errors are shown.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = demo ]; then
    set -- --bins
    for package in $(infra/agents) cli knowledge simulator stack; do
        set -- "$@" --package "$package"
    done
fi
mkdir -p target
interrupted=
trap 'interrupted=yes' INT TERM HUP
log=target/build.log
: >"$log"

# Seconds between two lines where the output is no terminal.
EVERY=20

elapsed() {
    if [ "$SECONDS" -lt 100 ]; then echo "$SECONDS s"; else echo "$((SECONDS / 60)) min $((SECONDS % 60)) s"; fi
}

# Turns cargo's output into one line that changes.
show() {
    local line last=-$EVERY shown=
    while IFS= read -r line; do
        if [[ $line =~ (Building|Fetch|Updating|Downloading).*\][[:space:]]+([0-9]+)/([0-9]+) && ${BASH_REMATCH[1]} = Building ]]; then
            local done=${BASH_REMATCH[2]} all=${BASH_REMATCH[3]}
            local text="building: $done of $all crates ($((100 * done / all)) %), $(elapsed)"
            if [ -t 2 ]; then
                printf '\r  %-60s' "$text" >&2
                shown=yes
            elif [ $((SECONDS - last)) -ge "$EVERY" ]; then
                echo "  $text" >&2
                last=$SECONDS
            fi
        elif [[ $line == *Blocking* ]]; then
            echo "  another build goes on in this folder, waiting for it" >&2
        elif [ -n "${line// /}" ]; then
            printf '%s\n' "$line" >>"$log"
        fi
    done
    [ -z "$shown" ] || printf '\r%-62s\r' '' >&2
}

if CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 CARGO_TERM_COLOR=never \
    cargo build "$@" 2>&1 | stdbuf --output=0 tr '\r' '\n' | show; then
    if [ "$SECONDS" -ge 3 ]; then echo "  building: done in $(elapsed)" >&2; fi
elif [ -n "$interrupted" ]; then
    echo "  interrupted while building, after $(elapsed)" >&2
    exit 130
else
    echo "  building failed after $(elapsed):" >&2
    if ! grep --after-context=12 --max-count=5 '^error' "$log" >&2; then tail -n 12 "$log" >&2; fi
    exit 1
fi
