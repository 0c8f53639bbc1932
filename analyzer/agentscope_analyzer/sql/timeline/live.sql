-- How many sessions lived at once?
--
-- One row. A session lives from its first turn's start to its last one's end; where one begins in the
-- instant in which another ends, both count.
-- @reads  turns_sessions
-- @column sessions BIGINT        sessions of the run
-- @column most_sessions BIGINT   most of them alive at one moment; NULL where no turn names one
WITH lives AS (
  SELECT session, MIN(start_ns) AS born_ns, MAX(end_ns) AS gone_ns
  FROM turns_sessions
  WHERE session IS NOT NULL
  GROUP BY session
), steps AS (
  SELECT session, born_ns AS at_ns, 1 AS step FROM lives
  UNION ALL
  SELECT session, gone_ns AS at_ns, -1 AS step FROM lives
), alive AS (
  SELECT
    SUM(step) OVER (
      ORDER BY at_ns, step DESC, session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS sessions
  FROM steps
)
SELECT
  (SELECT COUNT(*) FROM lives) AS sessions,
  CAST(MAX(sessions) AS BIGINT) AS most_sessions
FROM alive
