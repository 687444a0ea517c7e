#!/bin/sh
# Sends a deployment: the last step of a pipeline without a webhook.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-deployment.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}
now=$(date +%s)

curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
    --header 'Content-Type: application/json' --data-binary @- "$url/v1/events/deployments" <<END
{
  "service": "payment", "version": "1.4.2", "ts_ms": ${now}000, "environment": "production",
  "git_sha": "279484c09fbe69ededfced8c1bb6e6d24616b468", "deployed_by": "maria", "description": "Raise the timeout"
}
END
