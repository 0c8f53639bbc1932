-- Do the requests of the load generator and the recorded turns tell the same story?
--
-- One row. Requests of a turn are those that carry a turn number, or all of them if none does.
-- @reads  load, turns
-- @column requests BIGINT               requests of turns
-- @column traced BIGINT                 of those, requests that sent a trace id
-- @column joined BIGINT                 of those, requests whose turn was recorded
-- @column failed_unjoined BIGINT        of the traced ones without a turn, those that failed
-- @column turns_unsent BIGINT           recorded turns that no request asked for
-- @column late_p95_s DOUBLE             95th percentile of start after the intended start
-- @column users_wall_s DOUBLE           seconds that users waited in joined requests
-- @column turns_wall_s DOUBLE           seconds of the turns that served them
WITH numbered AS (
  SELECT COUNT(turn) AS n FROM load
), requests AS (
  SELECT
    l.trace_id AS trace_id,
    l.t_start - l.t_intended AS late_s,
    l.duration_s AS duration_s,
    CASE WHEN l.error IS NOT NULL AND l.error <> '' THEN 1 WHEN l.status >= 400 THEN 1 ELSE 0 END AS failed
  FROM load AS l
  CROSS JOIN numbered
  WHERE numbered.n = 0 OR l.turn IS NOT NULL
), served AS (
  SELECT trace_id, SUM(duration_s) AS duration_s FROM turns GROUP BY trace_id
), asked AS (
  SELECT DISTINCT trace_id FROM requests WHERE trace_id IS NOT NULL
), ranked AS (
  SELECT late_s, ROW_NUMBER() OVER (ORDER BY late_s) - 1 AS i, COUNT(*) OVER () - 1 AS last_i
  FROM requests
  WHERE late_s IS NOT NULL
), lateness AS (
  SELECT SUM(late_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS late_p95_s FROM ranked
), unsent AS (
  SELECT COUNT(*) AS turns_unsent
  FROM turns AS t
  LEFT JOIN asked ON asked.trace_id = t.trace_id
  WHERE asked.trace_id IS NULL
), sides AS (
  SELECT
    COUNT(*) AS requests,
    COUNT(r.trace_id) AS traced,
    COUNT(s.trace_id) AS joined,
    COUNT(*) FILTER (WHERE r.trace_id IS NOT NULL AND s.trace_id IS NULL AND r.failed = 1) AS failed_unjoined,
    SUM(CASE WHEN s.trace_id IS NOT NULL THEN r.duration_s END) AS users_wall_s,
    SUM(s.duration_s) AS turns_wall_s
  FROM requests AS r
  LEFT JOIN served AS s ON s.trace_id = r.trace_id
)
SELECT
  requests, traced, joined, failed_unjoined, turns_unsent, late_p95_s, users_wall_s, turns_wall_s
FROM sides
CROSS JOIN lateness
CROSS JOIN unsent
