#!/bin/sh
# Sends log lines: one JSON object a line.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-logs.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}
now=$(date +%s)

curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
    --header 'Content-Type: application/x-ndjson' --data-binary @- "$url/v1/events/logs" <<END
{"service":"payment","level":"error","message":"charge failed: connection pool timed out","ts_ms":${now}000}
{"level":"info","message":"started","ts_ms":${now}000,"labels":{"app":"order","env":"staging"}}
END
