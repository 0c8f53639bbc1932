-- How long would turns take if nothing were ever used up?
--
-- One row: exact quantiles of the seconds of a turn that belong to causes given as inherent.
-- @reads  turns, turns_spent
-- @param  inherent VARCHAR    those causes, each between commas: ',db.query,llm.generation,'
-- @column p50_s DOUBLE        median
-- @column p95_s DOUBLE        95th percentile
WITH own AS (
  SELECT turn_id, CAST(SUM(ns) AS DOUBLE) / 1e9 AS seconds
  FROM turns_spent
  WHERE POSITION(',' || cause || ',' IN $inherent) > 0
  GROUP BY turn_id
), ranked AS (
  SELECT
    COALESCE(own.seconds, 0e0) AS seconds,
    ROW_NUMBER() OVER (ORDER BY COALESCE(own.seconds, 0e0)) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM turns AS t
  LEFT JOIN own ON own.turn_id = t.turn_id
)
SELECT
  SUM(seconds * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS p50_s,
  SUM(seconds * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s
FROM ranked
