-- The time of a record to the nanosecond: `timestamp` has microseconds, `nanos` the rest.
SELECT
    arrow_cast(timestamp, 'Timestamp(Nanosecond, Some("UTC"))')
        + arrow_cast(nanos, 'Int64') * INTERVAL '1 nanosecond' AS exact,
    message
FROM logs
ORDER BY timestamp, nanos
LIMIT 10
