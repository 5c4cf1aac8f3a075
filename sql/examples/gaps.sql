-- Silences: times when a host logged nothing for longer than five minutes.
SELECT host, before AS silent_from, timestamp AS silent_to, timestamp - before AS silence
FROM (
    SELECT host, timestamp, lag(timestamp) OVER (PARTITION BY host ORDER BY timestamp) AS before
    FROM logs
    WHERE host IS NOT NULL
)
WHERE timestamp - before > INTERVAL '5 minutes'
ORDER BY silence DESC
LIMIT 20
