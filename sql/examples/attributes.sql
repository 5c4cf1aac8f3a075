-- Fields that have no column are in `attributes`, as JSON.
SELECT
    timestamp,
    json_get_int(attributes, 'user', 'id') AS user_id,
    json_get_str(attributes, 'user', 'name') AS user_name,
    json_get_str(attributes, 'tags', 0) AS first_tag
FROM logs
WHERE json_contains(attributes, 'user', 'id')
ORDER BY timestamp DESC
LIMIT 20
