-- What the same host logged in the five minutes before each of its errors.
SELECT failed.timestamp AS failed_at, failed.host, near.timestamp, near.level, near.message
FROM logs AS failed
JOIN logs AS near
  ON near.host = failed.host
 AND near.timestamp BETWEEN failed.timestamp - INTERVAL '5 minutes' AND failed.timestamp
WHERE failed.level = 'error'
ORDER BY failed_at DESC, near.timestamp
