-- For how long were sessions held up by one cause?
--
-- One row. What several turns of a session waited at the same time counts once.
-- @reads  sections, turns_sessions
-- @param  cause VARCHAR       cause
-- @column wall_s DOUBLE       seconds
-- @column sessions BIGINT     sessions that waited
WITH waits AS (
  SELECT
    t.session AS session,
    s.start_ns AS start_ns,
    s.end_ns AS end_ns,
    MAX(s.end_ns) OVER (
      PARTITION BY t.session ORDER BY s.start_ns, s.end_ns
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until_ns
  FROM sections AS s
  JOIN turns_sessions AS t ON t.turn_id = s.turn_id
  WHERE s.cause = $cause AND t.session IS NOT NULL
)
SELECT
  COALESCE(SUM(CAST(GREATEST(0, end_ns - GREATEST(start_ns, COALESCE(until_ns, start_ns))) AS DOUBLE)), 0e0)
    / 1e9 AS wall_s,
  COUNT(DISTINCT session) AS sessions
FROM waits
