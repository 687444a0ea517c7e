#!/bin/sh
# Sends a deployment as a CloudEvent.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-cloudevent.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}
now=$(date +%s)

curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
    --header 'Content-Type: application/json' --header 'ce-specversion: 1.0' --header 'ce-id: build-812' \
    --header 'ce-source: /ci/payment' --header 'ce-type: firewatch.deployment.v1' \
    --data-binary @- "$url/v1/cloudevents" <<END
{ "service": "payment", "version": "1.4.2", "ts_ms": ${now}000 }
END
