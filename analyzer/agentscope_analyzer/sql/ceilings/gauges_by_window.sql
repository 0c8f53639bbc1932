-- What did a gauge of each process say, and how many sessions were live and ended when it was read?
--
-- One row per process and window, means over the moments at which the gauge was read. On a process a
-- session lives from its first turn there to its last; what it holds may grow with each turn it had.
-- @reads  metrics, turns, turns_sessions
-- @param  gauge VARCHAR = process.memory.usage   the gauge
-- @param  from_ns BIGINT        windows begin here
-- @param  to_ns BIGINT          points are read up to here
-- @param  window_ns BIGINT      length of a window
-- @column instance VARCHAR      process
-- @column number BIGINT         number of the window, from 0
-- @column value DOUBLE          what the gauge said
-- @column live DOUBLE           sessions live
-- @column ended DOUBLE          sessions that had ended
-- @column held DOUBLE           turns that the live sessions had had
-- @column served DOUBLE         turns that all sessions had had
WITH lives AS (
  SELECT
    t.instance AS instance,
    s.session AS session,
    MIN(s.start_ns) AS start_ns,
    MAX(s.end_ns) AS end_ns,
    COUNT(*) AS turns
  FROM turns AS t
  JOIN turns_sessions AS s ON s.turn_id = t.turn_id
  WHERE s.session IS NOT NULL
  GROUP BY t.instance, s.session
), marks AS (
  SELECT instance, start_ns AS at_ns, 0 AS is_point, 1 AS began, 0 AS ended, 0 AS left_with, 0 AS turns,
    CAST(NULL AS DOUBLE) AS value
  FROM lives
  UNION ALL
  SELECT instance, end_ns AS at_ns, 0 AS is_point, 0 AS began, 1 AS ended, turns AS left_with, 0 AS turns,
    CAST(NULL AS DOUBLE) AS value
  FROM lives
  UNION ALL
  SELECT t.instance AS instance, t.end_ns AS at_ns, 0 AS is_point, 0 AS began, 0 AS ended, 0 AS left_with,
    1 AS turns, CAST(NULL AS DOUBLE) AS value
  FROM turns AS t
  JOIN turns_sessions AS s ON s.turn_id = t.turn_id
  WHERE s.session IS NOT NULL
  UNION ALL
  SELECT instance, time_ns AS at_ns, 1 AS is_point, 0 AS began, 0 AS ended, 0 AS left_with, 0 AS turns, value
  FROM metrics
  WHERE name = $gauge AND time_ns BETWEEN $from_ns AND $to_ns AND value >= 0 AND value < 1e18
), counted AS (
  SELECT
    instance,
    at_ns,
    is_point,
    value,
    SUM(began) OVER so_far AS began,
    SUM(ended) OVER so_far AS ended,
    SUM(left_with) OVER so_far AS left_with,
    SUM(turns) OVER so_far AS turns
  FROM marks
  WINDOW so_far AS (
    PARTITION BY instance ORDER BY at_ns, is_point ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  )
), placed AS (
  SELECT
    instance,
    CAST(floor(CAST(at_ns - $from_ns AS DOUBLE) / $window_ns) AS BIGINT) AS number,
    value,
    CAST(began - ended AS DOUBLE) AS live,
    CAST(ended AS DOUBLE) AS ended,
    CAST(turns - left_with AS DOUBLE) AS held,
    CAST(turns AS DOUBLE) AS served
  FROM counted
  WHERE is_point = 1
)
SELECT
  instance,
  number,
  AVG(value) AS value,
  AVG(live) AS live,
  AVG(ended) AS ended,
  AVG(held) AS held,
  AVG(served) AS served
FROM placed
GROUP BY instance, number
ORDER BY instance, number
