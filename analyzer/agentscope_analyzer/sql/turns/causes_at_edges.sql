-- What is a turn made of whose duration is the p95, or at either end of the middle fifth?
--
-- One row per cause; means over the turns nearest to that place by duration (see turns/_parts). An
-- interval of the slow turns' mean needs them: they are the turns that a little more or less of the
-- run would have counted in or out.
-- @reads  turns_parts, turns_spent
-- @column cause VARCHAR      cause
-- @column p95_s DOUBLE       seconds of it in a turn about as long as the p95
-- @column lower_s DOUBLE     in a turn at the lower end of the middle fifth
-- @column upper_s DOUBLE     in a turn at its upper end
WITH near AS (
  SELECT
    CAST(COUNT(*) FILTER (WHERE edge = 0.95e0) AS DOUBLE) AS p95,
    CAST(COUNT(*) FILTER (WHERE edge = 0.4e0) AS DOUBLE) AS lower_end,
    CAST(COUNT(*) FILTER (WHERE edge = 0.6e0) AS DOUBLE) AS upper_end
  FROM turns_parts
), taken AS (
  SELECT
    t.cause AS cause,
    CAST(SUM(CASE WHEN p.edge = 0.95e0 THEN t.ns ELSE 0 END) AS DOUBLE) / 1e9 AS p95_s,
    CAST(SUM(CASE WHEN p.edge = 0.4e0 THEN t.ns ELSE 0 END) AS DOUBLE) / 1e9 AS lower_s,
    CAST(SUM(CASE WHEN p.edge = 0.6e0 THEN t.ns ELSE 0 END) AS DOUBLE) / 1e9 AS upper_s
  FROM turns_spent AS t
  JOIN turns_parts AS p ON p.turn_id = t.turn_id
  WHERE p.edge IS NOT NULL
  GROUP BY t.cause
)
SELECT
  k.cause AS cause,
  k.p95_s / GREATEST(1e0, n.p95) AS p95_s,
  k.lower_s / GREATEST(1e0, n.lower_end) AS lower_s,
  k.upper_s / GREATEST(1e0, n.upper_end) AS upper_s
FROM taken AS k
CROSS JOIN near AS n
ORDER BY k.cause
