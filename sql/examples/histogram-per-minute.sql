-- Records per minute and level, for the bars above a list of logs.
SELECT date_bin(INTERVAL '1 minute', timestamp) AS minute, level, count(*) AS records
FROM logs
WHERE timestamp >= now() - INTERVAL '2 hours'
GROUP BY minute, level
ORDER BY minute, level
