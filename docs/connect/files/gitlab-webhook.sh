#!/bin/sh
# Adds the webhook to a project of GitLab.
#
#     GITLAB_TOKEN=... SECRET=... gitlab-webhook.sh https://gitlab.example 30 https://firewatch.example
set -eu
gitlab=$1 project=$2 url=$3

curl --silent --show-error --fail-with-body --request POST "$gitlab/api/v4/projects/$project/hooks" \
    --header "PRIVATE-TOKEN: $GITLAB_TOKEN" --data push_events=false --data deployment_events=true \
    --data-urlencode "url=$url/v1/deployments/gitlab" --data-urlencode "token=$SECRET"
