-- For how long at a time was no turn in flight?
--
-- One row, the longest such time between two turns; none where there is none.
-- @reads  turns, turns_sessions
-- @column from_ns BIGINT      the last turn before it ended
-- @column to_ns BIGINT        the first turn after it began
-- @column idle_s DOUBLE       how long it was
-- @column across BIGINT       sessions with turns before and after it
-- @column processes BIGINT    processes that served turns before and after it
WITH ordered AS (
  SELECT
    start_ns,
    MAX(end_ns) OVER (
      ORDER BY start_ns, end_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until_ns
  FROM turns_sessions
), longest AS (
  SELECT until_ns AS from_ns, start_ns AS to_ns
  FROM ordered
  WHERE start_ns > until_ns
  ORDER BY start_ns - until_ns DESC, from_ns
  LIMIT 1
), lives AS (
  SELECT session, MIN(start_ns) AS start_ns, MAX(end_ns) AS end_ns
  FROM turns_sessions
  WHERE session IS NOT NULL
  GROUP BY session
), processes AS (
  SELECT instance, MIN(start_ns) AS start_ns, MAX(end_ns) AS end_ns FROM turns GROUP BY instance
)
SELECT
  from_ns,
  to_ns,
  CAST(to_ns - from_ns AS DOUBLE) / 1e9 AS idle_s,
  (SELECT COUNT(*) FROM lives AS l WHERE l.start_ns < g.to_ns AND l.end_ns > g.from_ns) AS across,
  (SELECT COUNT(*) FROM processes AS p WHERE p.start_ns < g.to_ns AND p.end_ns > g.from_ns) AS processes
FROM longest AS g
