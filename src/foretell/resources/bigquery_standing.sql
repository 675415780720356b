-- The deliveries whose rows stand in a table, newest first: those that no later one replaced.
WITH delivered AS (SELECT * FROM {ledger} WHERE `table` = @table AND state = 'delivered')
SELECT {receipt} FROM delivered
WHERE turn >= COALESCE((SELECT MAX(turn) FROM delivered WHERE mode = 'replace'), 0)
QUALIFY mode <> 'partition' OR ROW_NUMBER() OVER (PARTITION BY scope, mode ORDER BY turn DESC) = 1
ORDER BY turn DESC
