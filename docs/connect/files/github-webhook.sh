#!/bin/sh
# Adds the webhook to a repository of GitHub.
#
#     SECRET=... github-webhook.sh shop/payments-api https://firewatch.example
set -eu
repository=$1 url=$2

gh api --method POST "repos/$repository/hooks" \
    --field name=web --field active=true --field 'events[]=deployment_status' \
    --field "config[url]=$url/v1/deployments/github" --field 'config[content_type]=json' \
    --field "config[secret]=$SECRET"
