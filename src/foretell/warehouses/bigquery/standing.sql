-- The deliveries whose rows stand in a table, newest first: those that no later one replaced, withdrawn ones among them.
WITH laid AS (SELECT * FROM {ledger} WHERE `table` = @table AND {laid})
SELECT {receipt} FROM laid
WHERE turn >= COALESCE((SELECT MAX(turn) FROM laid WHERE mode = 'replace'), 0)
QUALIFY mode <> 'partition' OR ROW_NUMBER() OVER (PARTITION BY scope, mode ORDER BY turn DESC) = 1
ORDER BY turn DESC
