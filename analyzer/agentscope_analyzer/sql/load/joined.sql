-- Do the requests of the load generator and the recorded turns tell the same story?
--
-- One row. Requests of a turn are those that carry a turn number, or all of them if none does; a line
-- that stands in two files is one request. The clocks of both sides are compared by the request whose
-- turn fills it best: their middles are the same moment, but for half of what lies outside the turn.
-- @reads  load, turns
-- @column requests BIGINT               requests of turns
-- @column traced BIGINT                 of those, requests that sent a trace id
-- @column joined BIGINT                 of those, requests whose turn was recorded
-- @column failed BIGINT                 requests that failed at the generator
-- @column failed_unjoined BIGINT        of the traced ones without a turn, those that failed
-- @column turns_unsent BIGINT           recorded turns that no request asked for
-- @column late_p95_s DOUBLE             95th percentile of start after the intended start
-- @column users_wall_s DOUBLE           seconds that users waited in joined requests
-- @column turns_wall_s DOUBLE           seconds of the turns that served them
-- @column clock_ahead_s DOUBLE          by how much the service's clock is ahead of the generator's
-- @column clock_within_s DOUBLE         give or take
WITH numbered AS (
  SELECT COUNT(turn) AS n FROM load
), lines AS (
  SELECT DISTINCT trace_id, t_intended, t_start, duration_s, session, turn, status, error FROM load
), requests AS (
  SELECT
    l.trace_id AS trace_id,
    l.t_start AS t_start,
    l.t_start - l.t_intended AS late_s,
    l.duration_s AS duration_s,
    CASE WHEN l.error IS NOT NULL AND l.error <> '' THEN 1 WHEN l.status >= 400 THEN 1 ELSE 0 END AS failed
  FROM lines AS l
  CROSS JOIN numbered
  WHERE numbered.n = 0 OR l.turn IS NOT NULL
), served AS (
  SELECT trace_id, SUM(duration_s) AS duration_s, MIN(start_ns) AS start_ns, MAX(end_ns) AS end_ns
  FROM turns
  GROUP BY trace_id
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
), clocks AS (
  SELECT
    (CAST(s.start_ns AS DOUBLE) + CAST(s.end_ns AS DOUBLE)) / 2e9 - (r.t_start + r.duration_s / 2e0) AS ahead_s,
    ABS(r.duration_s - CAST(s.end_ns - s.start_ns AS DOUBLE) / 1e9) / 2e0 AS within_s,
    ROW_NUMBER() OVER (
      ORDER BY ABS(r.duration_s - CAST(s.end_ns - s.start_ns AS DOUBLE) / 1e9), r.t_start
    ) AS place
  FROM requests AS r
  JOIN served AS s ON s.trace_id = r.trace_id
), clock AS (
  SELECT MAX(ahead_s) AS clock_ahead_s, MAX(within_s) AS clock_within_s FROM clocks WHERE place = 1
), sides AS (
  SELECT
    COUNT(*) AS requests,
    CAST(COALESCE(SUM(r.failed), 0) AS BIGINT) AS failed,
    COUNT(r.trace_id) AS traced,
    COUNT(s.trace_id) AS joined,
    COUNT(*) FILTER (WHERE r.trace_id IS NOT NULL AND s.trace_id IS NULL AND r.failed = 1) AS failed_unjoined,
    SUM(CASE WHEN s.trace_id IS NOT NULL THEN r.duration_s END) AS users_wall_s,
    SUM(s.duration_s) AS turns_wall_s
  FROM requests AS r
  LEFT JOIN served AS s ON s.trace_id = r.trace_id
)
SELECT
  requests, traced, joined, failed, failed_unjoined, turns_unsent, late_p95_s, users_wall_s, turns_wall_s,
  clock_ahead_s, clock_within_s
FROM sides
CROSS JOIN clock
CROSS JOIN lateness
CROSS JOIN unsent
