-- Make somebody the owner of a table, in a turn of its own, and give who owned it before.
DECLARE former ARRAY<STRING>;

BEGIN TRANSACTION;

UPDATE {lock} SET turn = turn + 1 WHERE TRUE;
SET former = ARRAY(
  SELECT DISTINCT owner FROM (
    SELECT laid.owner AS owner FROM (SELECT * FROM {ledger} WHERE `table` = @table AND {laid}) AS laid CROSS JOIN {lock} AS mine
    WHERE laid.turn > mine.since
    UNION ALL
    SELECT owner FROM {lock}
  )
  WHERE owner IS NOT NULL
);
UPDATE {lock} SET owner = @owner, since = turn WHERE TRUE;

COMMIT TRANSACTION;

SELECT owner FROM UNNEST(former) AS owner ORDER BY owner
