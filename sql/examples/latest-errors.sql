-- The latest 100 errors, newest first.
SELECT timestamp, service, host, message
FROM logs
WHERE level = 'error'
ORDER BY timestamp DESC
LIMIT 100
