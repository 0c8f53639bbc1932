-- Could the load generator send when it meant to, and what would users say who count from then?
--
-- One row over the requests of turns that say when they were due (of all requests, if none carries a
-- turn number). A user who waits for the answer before the next request is due is a closed loop: while
-- the service is slow, fewer requests come, so slow moments are seen by fewer of them. What a user was
-- held up by the answer before is not the generator's lateness.
-- @reads  load
-- @column requests BIGINT        requests that say when they were due
-- @column unplanned BIGINT       requests that do not
-- @column users BIGINT           users that sent them
-- @column behind BIGINT          requests due before the user's last one had ended: an open loop
-- @column late_mean_s DOUBLE     start after the intended start, on average
-- @column late_p95_s DOUBLE      95th percentile of it
-- @column cycle_s DOUBLE         from one request of a user to the next one, median
-- @column sent_p95_s DOUBLE      95th percentile of the duration, from when a request was sent
-- @column due_p95_s DOUBLE       95th percentile of the duration, from when it was due
WITH numbered AS (
  SELECT COUNT(turn) AS n FROM load
), lines AS (
  SELECT DISTINCT trace_id, t_intended, t_start, duration_s, session, turn, "user" AS who
  FROM load
  WHERE t_start BETWEEN 0 AND 9e9 AND duration_s BETWEEN 0 AND 1e7
), requests AS (
  SELECT
    l.who AS who,
    l.t_intended AS due_s,
    l.t_start AS start_s,
    l.duration_s AS duration_s,
    l.t_start - l.t_intended AS late_s
  FROM lines AS l
  CROSS JOIN numbered
  WHERE numbered.n = 0 OR l.turn IS NOT NULL
), planned AS (
  SELECT who, due_s, start_s, duration_s, late_s FROM requests
  WHERE due_s IS NOT NULL AND ABS(late_s) < 1e7
), followed AS (
  SELECT
    who,
    due_s,
    start_s,
    CASE WHEN who IS NOT NULL THEN MAX(start_s) OVER earlier END AS last_start_s,
    CASE WHEN who IS NOT NULL THEN MAX(start_s + duration_s) OVER earlier END AS last_end_s
  FROM planned
  WINDOW earlier AS (
    PARTITION BY who ORDER BY start_s, due_s ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  )
), cycles AS (
  SELECT
    COUNT(DISTINCT who) AS users,
    COUNT(*) FILTER (WHERE due_s < last_end_s - 1e-3) AS behind,
    median(start_s - last_start_s) AS cycle_s
  FROM followed
), own AS (
  SELECT GREATEST(start_s - GREATEST(due_s, COALESCE(last_end_s, due_s)), 0e0) AS late_s FROM followed
), late AS (
  SELECT late_s, ROW_NUMBER() OVER (ORDER BY late_s) - 1 AS i, COUNT(*) OVER () - 1 AS last_i FROM own
), sent AS (
  SELECT duration_s, ROW_NUMBER() OVER (ORDER BY duration_s) - 1 AS i, COUNT(*) OVER () - 1 AS last_i FROM planned
), due AS (
  SELECT
    duration_s + GREATEST(late_s, 0e0) AS duration_s,
    ROW_NUMBER() OVER (ORDER BY duration_s + GREATEST(late_s, 0e0)) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM planned
), lateness AS (
  SELECT
    AVG(late_s) AS late_mean_s,
    SUM(late_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS late_p95_s
  FROM late
), totals AS (
  SELECT
    (SELECT COUNT(*) FROM planned) AS requests,
    (SELECT COUNT(*) FROM requests WHERE due_s IS NULL) AS unplanned,
    (SELECT SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) FROM sent) AS sent_p95_s,
    (SELECT SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) FROM due) AS due_p95_s
)
SELECT
  t.requests, t.unplanned, c.users, c.behind, l.late_mean_s, l.late_p95_s, c.cycle_s,
  t.sent_p95_s, t.due_p95_s
FROM totals AS t
CROSS JOIN cycles AS c
CROSS JOIN lateness AS l
