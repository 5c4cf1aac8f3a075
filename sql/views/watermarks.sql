-- Per table and writer the last segment whose rows are committed to the table.
SELECT table_name, writer, segment
FROM lake_facts.watermarks
