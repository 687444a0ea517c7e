#!/bin/sh
# Sends an alert of another rule engine.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-alert.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}
now=$(date +%s)

curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
    --header 'Content-Type: application/json' --data-binary @- "$url/v1/events/alerts" <<END
{
  "fingerprint": "checkout-probe", "service": "payment", "name": "CheckoutProbeFails", "firing": true,
  "starts_ms": ${now}000, "ts_ms": ${now}000, "severity": "critical", "summary": "The checkout probe fails from Frankfurt"
}
END
