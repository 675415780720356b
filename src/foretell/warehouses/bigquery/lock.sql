-- Beside every table that is delivered to: one row, made together with its table, so that there is never another.
-- Whoever delivers or claims updates it first: BigQuery aborts all but one of the transactions that update a table at once.
-- turn counts them; a table that was claimed has an owner since one of them.
CREATE TABLE IF NOT EXISTS {lock}
OPTIONS (description = 'Foretell: the turns of the table {name}', labels = [('made_by', 'foretell')])
AS SELECT 0 AS turn, CAST(NULL AS STRING) AS owner, 0 AS since
