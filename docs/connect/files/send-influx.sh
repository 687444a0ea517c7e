#!/bin/sh
# Sends a line of InfluxDB.
#
#     FIREWATCH_URL=http://127.0.0.1:4318 FIREWATCH_TOKEN=... send-influx.sh
set -eu
url=${FIREWATCH_URL:-http://127.0.0.1:4318}
now=$(date +%s)

curl --silent --show-error --fail-with-body ${FIREWATCH_TOKEN:+--header "Authorization: Bearer $FIREWATCH_TOKEN"} \
    --data-binary @- "$url/v1/influx/write?precision=s" <<END
cpu,service=payment,host=web1 usage_user=12.5,usage_system=3i $now
END
