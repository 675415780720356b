-- The run's row of the ledger, if it has one, and what would become of its rows if not: one row.
SELECT expected.state AS expected, known.*
FROM (
{verdict}
) AS expected
LEFT JOIN (SELECT {receipt} FROM {ledger} WHERE uid = @uid) AS known ON TRUE
