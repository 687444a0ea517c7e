#!/bin/sh
# Sends a span.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-span.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}
now=$(date +%s)

curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
    --header 'Content-Type: application/json' --data-binary @- "$url/v1/events/spans" <<END
{
  "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "service": "payment",
  "operation": "POST /charge", "ts_ms": ${now}000, "duration_ms": 12.5, "status": "ok", "peer": "bank"
}
END
