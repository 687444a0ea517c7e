#!/bin/sh
# Fetches what Firewatch runs over and does not bring along: Kafka's jars, the embedding model, the mail sink.
#
#     infra/fetch.sh FOLDER [kafka|model|mail ...]      all three unless some are named
#
# Each goes into a folder that is named after what it is made from, so that a second call has nothing to do and a new
# version does not mix with the old one. The folder appears only when it is complete. Several calls may run at once.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
tools=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- kafka model mail

# Longest time for one try, and how often one is tried.
TRY=600
TRIES=3

say() { echo "  $*" >&2; }

# Prints the folder of a part: its name and a hash of the names and contents of the files it is made from.
folder() {
    part=$1
    shift
    hash=$(for file in "$@"; do printf %s "$(basename "$file")"; cat "$file"; done | sha256sum | cut -c 1-12)
    echo "$tools/$part-$hash"
}

# Makes a part's folder with what a command leaves in it, unless it is there: once PART TITLE COMMAND FILE...
once() {
    part=$1 title=$2 command=$3
    shift 3
    dir=$(folder "$part" "$@")
    exec 9>"$tools/$part.lock"
    flock 9
    if [ ! -d "$dir" ]; then
        partial=$tools/$part.partial
        try=1
        begun=$(date +%s)
        while :; do
            rm -rf "$partial"
            mkdir "$partial"
            cp "$@" "$partial"
            if (cd "$partial" && timeout --foreground "$TRY" sh -c "$command") >"$tools/$part.log" 2>&1 9>&-; then break; fi
            if [ "$try" -ge "$TRIES" ]; then
                say "fetching $title failed after $TRIES tries; the end of $tools/$part.log:"
                tail -n 8 "$tools/$part.log" >&2
                rm -rf "$partial"
                exit 1
            fi
            say "fetching $title failed, trying again"
            sleep $((2 * try))
            try=$((try + 1))
        done
        for old in "$tools/$part"-*; do rm -rf "$old"; done
        mv "$partial" "$dir"
        say "fetching $title: done in $(($(date +%s) - begun)) s"
    fi
    exec 9>&-
}

maven='mvn --batch-mode --quiet --strict-checksums --file pom.xml'

for part in "$@"; do
    case $part in
        kafka)
            once kafka "Kafka's jars" \
                "$maven dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=libs" \
                "$root/infra/stack/kafka/pom.xml"
            ;;
        model)
            case $(uname -m) in
                x86_64) processor=linux-x64 ;;
                aarch64) processor=linux-aarch64 ;;
                *) say "there is no ONNX Runtime for $(uname -m)" && exit 1 ;;
            esac
            library=ai/onnxruntime/native/$processor/libonnxruntime.so
            once model 'the embedding model' \
                "$maven dependency:unpack-dependencies -DoutputDirectory=. -DmarkersDirectory=markers \
                '-Dmdep.unpack.includes=*.onnx,*tokenizer.json,$library' && ln -s $library libonnxruntime.so" \
                "$root/infra/stack/model/pom.xml"
            ;;
        mail)
            once mail 'the mail sink' 'npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --fetch-retries=1 --fetch-retry-mintimeout=1000' \
                "$root/infra/stack/mail/package.json" "$root/infra/stack/mail/package-lock.json"
            ;;
        *) say "no part $part" && exit 2 ;;
    esac
    echo "$dir"
done
