-- A run that was taken back: in the table's turn, its row of the ledger stops to count; of an append its rows go, too.
BEGIN TRANSACTION;

UPDATE {lock} SET turn = turn + 1 WHERE TRUE;
IF @@row_count <> 1 THEN
  RAISE USING MESSAGE = 'foretell lock: {name} has no row';
END IF;

IF NOT EXISTS (SELECT 1 FROM {ledger} WHERE uid = @uid) THEN
  INSERT INTO {ledger} (
    uid, `table`, scope, owner, mode, date, n, state, `rows`, run, attempt, cause, turn, `at`
  ) VALUES (
    @uid, @table, @scope, @owner, @mode, @date, @n, 'withdrawn', 0, @run, @attempt, @never, 0, CURRENT_TIMESTAMP()
  );
ELSEIF NOT {held} THEN
  {remove}
  -- turn: in which the rows were put; of a withdrawn run 0 where none of its rows stand
  UPDATE {ledger} SET
    cause = CASE WHEN state = 'superseded' THEN @nothing WHEN mode = 'append' THEN @removed ELSE @stands END,
    `rows` = IF(state = 'delivered' AND mode <> 'append', `rows`, 0),
    turn = IF(state = 'delivered' AND mode <> 'append', turn, 0),
    state = 'withdrawn'
  WHERE uid = @uid AND state IN ('delivered', 'superseded');
END IF;

COMMIT TRANSACTION
