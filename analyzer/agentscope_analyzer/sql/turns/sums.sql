-- Do the causes of every turn add up to its duration?
--
-- One row; both differences must be 0.
-- @reads  turns, turns_spent
-- @column turns BIGINT               turns compared
-- @column unequal BIGINT             turns whose causes do not add up to the nanosecond
-- @column largest_difference_ns BIGINT  largest difference of one turn
WITH taken AS (
  SELECT turn_id, SUM(ns) AS given_ns FROM turns_spent GROUP BY turn_id
), compared AS (
  SELECT ABS((t.end_ns - t.start_ns) - CAST(COALESCE(k.given_ns, 0) AS BIGINT)) AS difference_ns
  FROM turns AS t
  LEFT JOIN taken AS k ON k.turn_id = t.turn_id
)
SELECT
  COUNT(*) AS turns,
  COUNT(*) FILTER (WHERE difference_ns <> 0) AS unequal,
  MAX(difference_ns) AS largest_difference_ns
FROM compared
