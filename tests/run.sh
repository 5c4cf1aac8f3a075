#!/usr/bin/env bash
# Starts an embedded lake with demo logs on 127.0.0.1 and says where to look. Ctrl-C ends it.
set -euo pipefail
bin=$1
data=$2
"$bin" serve --data "$data" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" || true' EXIT
trap 'exit 0' INT TERM
until curl -sf http://127.0.0.1:9400/ready >/dev/null; do
  kill -0 "$server" 2>/dev/null || exit 1
  sleep 0.1
done
"$bin" demo --records 100000 --max
cat <<'TEXT'

loglake is up, with 100,000 demo records in the table "logs".

  HTTP   http://127.0.0.1:9400        gRPC (Flight SQL)  127.0.0.1:9401

Ask it something:

  curl -s http://127.0.0.1:9400/api/v1/sql -d '{"sql":
    "SELECT service, level, count(*) AS n FROM logs GROUP BY 1, 2 ORDER BY n DESC LIMIT 10"}'

Send it something:

  curl -s http://127.0.0.1:9400/api/v1/ingest/logs -d '{"service":"me","message":"hello, lake"}'

Ctrl-C ends it; the lake stays in the folder and is there at the next start.
TEXT
wait "$server"
