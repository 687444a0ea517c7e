#!/bin/bash
# Runs a class of Kafka's jars. Takes what the original takes of its variables: KAFKA_HEAP_OPTS, KAFKA_OPTS,
# KAFKA_JVM_PERFORMANCE_OPTS, KAFKA_LOG4J_OPTS.
set -eu
logging=${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=/etc/kafka/docker/log4j2-tools.properties}
performance=${KAFKA_JVM_PERFORMANCE_OPTS:--server -XX:+UseG1GC -Djava.awt.headless=true}
# shellcheck disable=SC2086 # several words each
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} $performance ${KAFKA_OPTS:-} $logging -cp '/opt/kafka/libs/*' "$@"
