-- What becomes of a run's rows, by what stands in the ledger: one row. It is asked before rows are staged, to save the
-- trouble, and again inside of the transaction, where it counts.
WITH
  mine AS (SELECT turn, owner, since FROM {lock}),
  -- Whose rows were put into the table; of those that were withdrawn only the owner counts.
  laid AS (SELECT * FROM {ledger} WHERE `table` = @table AND {laid}),
  -- The last claim makes an owner; without one a delivery does, but appends go together.
  rivals AS (
    SELECT laid.owner AS owner, laid.turn AS turn FROM laid CROSS JOIN mine
    WHERE laid.turn > mine.since AND laid.owner <> @owner
      AND NOT (@mode = 'append' AND laid.mode = 'append')
  ),
  -- What a run may not lie over: all the table for replace, the partition, the date for append.
  earlier AS (
    SELECT run, date, n FROM laid
    WHERE state = 'delivered' AND owner = @owner AND CASE @mode
      WHEN 'replace' THEN TRUE
      WHEN 'partition' THEN scope = @scope OR mode = 'replace'
      ELSE date = @date END
    ORDER BY date DESC, n DESC LIMIT 1
  ),
  found AS (
    SELECT
      turn,
      IF(owner <> @owner, owner, (SELECT owner FROM rivals ORDER BY turn DESC LIMIT 1)) AS other,
      (SELECT run FROM earlier) AS run,
      (SELECT date > @date OR (date = @date AND n > @n) FROM earlier) AS newer
    FROM mine
  )
SELECT
  turn,
  CASE
    WHEN @rejected <> '' OR other IS NOT NULL OR (@mode = 'append' AND run IS NOT NULL) THEN 'rejected'
    WHEN @mode <> 'append' AND newer THEN 'superseded'
    ELSE 'delivered'
  END AS state,
  CASE
    WHEN @rejected <> '' THEN @rejected
    WHEN other IS NOT NULL THEN REPLACE(@belongs, '{{}}', other)
    WHEN @mode = 'append' AND run IS NOT NULL THEN REPLACE(@appended, '{{}}', run)
    WHEN @mode <> 'append' AND newer THEN REPLACE(@newer, '{{}}', run)
    ELSE ''
  END AS cause
FROM found
