-- The processes of the lake, as the coordinator last told.
SELECT member, roles, http, grpc, writer, version
FROM lake_facts.members
