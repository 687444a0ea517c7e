#!/bin/sh
# Sends samples of metrics: an array.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-metrics.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}
now=$(date +%s)

curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
    --header 'Content-Type: application/json' --data-binary @- "$url/v1/events/metrics" <<END
[
  {
    "service": "payment", "metric": "queue_depth", "value": 12, "ts_ms": ${now}000, "instrument": "gauge",
    "labels": { "queue": "mail", "instance": "payment-1" }
  },
  {
    "service": "payment", "metric": "http_server_request_duration_seconds", "unit": "s", "value": 6, "ts_ms": ${now}000,
    "histogram": { "sum": 0.9, "bounds": [0.1, 0.5, 1.0], "counts": [4, 1, 1, 0] }, "labels": { "route": "/charge" }
  }
]
END
