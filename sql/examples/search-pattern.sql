-- A regular expression over the message; the status is taken out of the text.
SELECT
    timestamp,
    regexp_replace(message, '.* with ([0-9]+)$', '\1') AS status_in_text,
    message
FROM logs
WHERE message ~ 'with (404|5[0-9]{2})$'
ORDER BY timestamp DESC
LIMIT 50
