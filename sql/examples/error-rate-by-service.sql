-- The part of each service's records that are errors, per ten minutes.
SELECT
    date_bin(INTERVAL '10 minutes', timestamp) AS at,
    service,
    count(*) AS records,
    count(*) FILTER (WHERE level = 'error') AS errors,
    round(100.0 * count(*) FILTER (WHERE level = 'error') / count(*), 1) AS error_percent
FROM logs
GROUP BY at, service
ORDER BY error_percent DESC, at
