-- The hosts that log most, and when each was last heard of.
SELECT host, count(*) AS records, max(timestamp) AS last_seen
FROM logs
WHERE host IS NOT NULL
GROUP BY host
ORDER BY records DESC, host
LIMIT 10
