-- What can be asked for: the columns of the table and where they came from.
SELECT column_name, data_type, origin
FROM lake.columns
WHERE table_name = 'logs'
ORDER BY position
