-- The one transaction of the protocol: take the table's turn, read the ledger, write rows and ledger together or not at all.
DECLARE verdict STRUCT<turn INT64, state STRING, cause STRING>;
DECLARE inserted INT64 DEFAULT 0;

BEGIN TRANSACTION;

UPDATE {lock} SET turn = turn + 1 WHERE TRUE;
IF @@row_count <> 1 THEN
  RAISE USING MESSAGE = 'foretell lock: {name} has no row';
END IF;

IF NOT EXISTS (SELECT 1 FROM {ledger} WHERE uid = @uid) THEN
  SET verdict = (SELECT AS STRUCT turn, state, cause FROM (
{verdict}
  ));
  IF verdict.state = 'delivered' THEN
{put}
  END IF;
  INSERT INTO {ledger} (
    uid, `table`, scope, owner, mode, date, n, state, `rows`, run, attempt, cause, turn, `at`
  ) VALUES (
    @uid, @table, @scope, @owner, @mode, @date, @n, verdict.state, inserted, @run, @attempt, verdict.cause,
    verdict.turn, CURRENT_TIMESTAMP()
  );
END IF;

COMMIT TRANSACTION
