-- A word anywhere in the message, within a range of time.
SELECT timestamp, service, level, message
FROM logs
WHERE timestamp >= '2026-11-01T12:00:00Z'
  AND timestamp < '2026-11-01T14:00:00Z'
  AND message LIKE '%/login%'
ORDER BY timestamp DESC
LIMIT 50
