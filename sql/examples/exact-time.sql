-- The time of a record to the nanosecond: `timestamp` has microseconds, `nanos` the rest.
SELECT
    to_timestamp_nanos(arrow_cast(timestamp, 'Int64') * 1000 + nanos) AS exact,
    message
FROM logs
ORDER BY timestamp, nanos
LIMIT 10
