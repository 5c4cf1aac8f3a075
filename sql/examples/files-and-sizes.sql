-- Files, rows and bytes of every table, and the bytes of a row.
SELECT table_name, files, rows, bytes, round(bytes * 1.0 / rows, 1) AS bytes_per_row, max_time
FROM lake.tables
WHERE rows > 0
ORDER BY bytes DESC
