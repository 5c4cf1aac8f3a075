-- The writers whose logs are not finished: `state` is here for the writer of the process that
-- answers, other for any other, alive or waiting for its recovery; `floor` is the last segment
-- that was trimmed.
SELECT
    w.writer,
    w.started,
    CASE WHEN w.here THEN 'here' ELSE 'other' END AS state,
    count(s.segment) AS segments,
    coalesce(sum(s.bytes), 0) AS bytes,
    min(s.segment) AS first_segment,
    max(s.segment) AS last_segment,
    w.floor
FROM lake_facts.writers AS w
LEFT JOIN lake_facts.segments AS s ON s.writer = w.writer
GROUP BY w.writer, w.started, w.here, w.floor
