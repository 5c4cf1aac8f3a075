-- Services with more warnings in their last half hour than in the half hours before, on average.
WITH per_half_hour AS (
    SELECT service, date_bin(INTERVAL '30 minutes', timestamp) AS at, count(*) AS warnings
    FROM logs
    WHERE level = 'warn'
    GROUP BY service, at
)
SELECT last.service, last.warnings, avg(earlier.warnings) AS usual
FROM per_half_hour AS last
JOIN per_half_hour AS earlier ON earlier.service = last.service AND earlier.at < last.at
WHERE last.at = (SELECT max(at) FROM per_half_hour)
GROUP BY last.service, last.warnings
HAVING last.warnings >= avg(earlier.warnings)
ORDER BY last.service
