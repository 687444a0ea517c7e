#!/bin/sh
# Sends the warnings of a cluster as they happen.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-kubernetes-events.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}

kubectl get events --all-namespaces --field-selector type=Warning --watch-only --output-watch-events --output json |
    jq --compact-output --unbuffered . |
    while read -r event; do
        printf '%s' "$event" |
            curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
                --header 'Content-Type: application/json' --data-binary @- "$url/v1/kubernetes/events" ||
            echo "an event was not taken: $event" >&2
    done
