-- The newest partition of a table that is delivered to by partitions, none of a withdrawn run.
CREATE OR REPLACE VIEW {view}
OPTIONS (description = 'Foretell: the newest partition of {name}', labels = [('made_by', 'foretell')])
AS SELECT * FROM {target} WHERE {start} = (
  SELECT MAX({start}) FROM {target} WHERE {start} NOT IN (
    SELECT {withdrawn} FROM (
      SELECT scope, state FROM {ledger}
      WHERE `table` = '{key}' AND mode = 'partition' AND {laid}
      QUALIFY ROW_NUMBER() OVER (PARTITION BY scope ORDER BY turn DESC) = 1
    )
    WHERE state = 'withdrawn'
  )
)
