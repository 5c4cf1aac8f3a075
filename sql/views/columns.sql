-- The columns of every table: `origin` is fixed, record (brought by records) or partition;
-- `name_form` tells whether the dots of a name are nesting or part of one key.
SELECT table_name, position, column_name, data_type, nullable, origin, name_form
FROM lake_facts.columns
