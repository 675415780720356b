(
    EXISTS (
      SELECT 1 FROM {ledger}
      WHERE `table` = @table AND uid <> @uid AND {laid} AND ENDS_WITH(run, CONCAT('/', @id))
    )
    OR (SELECT COUNT(*) FROM {target} WHERE `{column}` = @id)
      > (SELECT COALESCE(MAX(`rows`), 0) FROM {ledger} WHERE uid = @uid)
  )
