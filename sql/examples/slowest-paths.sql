-- Latency of every path: median, 99th percentile, slowest.
SELECT
    "http.path" AS path,
    count(*) AS requests,
    approx_percentile_cont(duration_ms, 0.5) AS p50_ms,
    approx_percentile_cont(duration_ms, 0.99) AS p99_ms,
    max(duration_ms) AS max_ms
FROM logs
WHERE duration_ms IS NOT NULL
GROUP BY path
ORDER BY p99_ms DESC
