-- How long do users wait before their turn begins, and what did the process do meanwhile?
--
-- One row over the requests that were joined with their turn by trace id. A request that nobody takes
-- up waits outside of every span: in the server's accept queue, on the network, or while a connection
-- is made. While the process stands still it takes up nothing, so that part is the process's.
-- @reads  load, turns, spans
-- @param  ahead_s DOUBLE = 0           by how much the service's clock is ahead of the generator's
-- @column requests BIGINT              requests that were joined with their turn
-- @column users_wall_s DOUBLE          seconds that users waited for them in all
-- @column wall_s DOUBLE                of these, seconds before the turn began
-- @column median_s DOUBLE              of one request, median
-- @column most_s DOUBLE                of one request, the most
-- @column loop_s DOUBLE                seconds before the turn in which the event loop stood still
-- @column gc_s DOUBLE                  in which the garbage collector had stopped it
-- @column throttled_s DOUBLE           in which the CPU quota was used up
WITH numbered AS (
  SELECT COUNT(turn) AS n FROM load
), requests AS (
  SELECT DISTINCT l.trace_id AS trace_id, l.t_start AS t_start, l.duration_s AS duration_s
  FROM load AS l
  CROSS JOIN numbered
  WHERE l.trace_id IS NOT NULL AND (numbered.n = 0 OR l.turn IS NOT NULL)
    AND l.t_start BETWEEN 0 AND 9e9 AND l.duration_s BETWEEN 0 AND 1e7
), served AS (
  SELECT
    trace_id,
    instance,
    start_ns,
    ROW_NUMBER() OVER (PARTITION BY trace_id ORDER BY start_ns, turn_id) AS place
  FROM turns
), gaps AS (
  SELECT
    ROW_NUMBER() OVER (ORDER BY r.trace_id, r.t_start) AS number,
    s.instance AS instance,
    r.duration_s AS duration_s,
    CAST(round((r.t_start + $ahead_s) * 1e9) AS BIGINT) AS from_ns,
    LEAST(s.start_ns, CAST(round((r.t_start + $ahead_s + r.duration_s) * 1e9) AS BIGINT)) AS to_ns
  FROM requests AS r
  JOIN served AS s ON s.trace_id = r.trace_id AND s.place = 1
), waited AS (
  SELECT number, instance, duration_s, from_ns, GREATEST(to_ns, from_ns) AS to_ns FROM gaps
), stops AS (       -- without overlaps: several loops of a process may stand still at once
  SELECT
    instance,
    runtime_event AS event,
    end_ns,
    GREATEST(start_ns, COALESCE(MAX(end_ns) OVER (
      PARTITION BY instance, runtime_event ORDER BY start_ns, end_ns
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), start_ns)) AS start_ns
  FROM spans
  WHERE runtime_event IN ('loop_blocked', 'gc_pause', 'cpu_throttled')
), events AS (
  SELECT DISTINCT instance, event FROM stops
), marks AS (
  SELECT instance, event, start_ns AS at_ns, 0 AS side, CAST(NULL AS BIGINT) AS number, end_ns - start_ns AS length_ns, end_ns
  FROM stops
  WHERE end_ns > start_ns
  UNION ALL
  SELECT w.instance, e.event, w.from_ns AS at_ns, -1 AS side, w.number, 0 AS length_ns, CAST(NULL AS BIGINT) AS end_ns
  FROM waited AS w JOIN events AS e ON e.instance = w.instance
  UNION ALL
  SELECT w.instance, e.event, w.to_ns AS at_ns, 1 AS side, w.number, 0 AS length_ns, CAST(NULL AS BIGINT) AS end_ns
  FROM waited AS w JOIN events AS e ON e.instance = w.instance
), stood AS (       -- how long the process had stood still until each mark
  SELECT
    event,
    number,
    side,
    SUM(length_ns) OVER earlier - GREATEST(COALESCE(MAX(end_ns) OVER earlier, at_ns) - at_ns, 0) AS still_ns
  FROM marks
  WINDOW earlier AS (
    PARTITION BY instance, event ORDER BY at_ns, side ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  )
), explained AS (
  SELECT event, CAST(SUM(side * still_ns) AS DOUBLE) / 1e9 AS still_s FROM stood WHERE side <> 0 GROUP BY event
), causes AS (
  SELECT
    COALESCE(SUM(CASE WHEN event = 'loop_blocked' THEN still_s END), 0e0) AS loop_s,
    COALESCE(SUM(CASE WHEN event = 'gc_pause' THEN still_s END), 0e0) AS gc_s,
    COALESCE(SUM(CASE WHEN event = 'cpu_throttled' THEN still_s END), 0e0) AS throttled_s
  FROM explained
), totals AS (
  SELECT
    COUNT(*) AS requests,
    SUM(duration_s) AS users_wall_s,
    CAST(SUM(to_ns - from_ns) AS DOUBLE) / 1e9 AS wall_s,
    median(CAST(to_ns - from_ns AS DOUBLE) / 1e9) AS median_s,
    CAST(MAX(to_ns - from_ns) AS DOUBLE) / 1e9 AS most_s
  FROM waited
)
SELECT requests, users_wall_s, wall_s, median_s, most_s, loop_s, gc_s, throttled_s
FROM totals
CROSS JOIN causes
