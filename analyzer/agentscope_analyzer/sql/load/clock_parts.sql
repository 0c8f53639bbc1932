-- Did one of the two clocks, the service's and the load generator's, move during the run?
--
-- One row per tenth of the requests that were answered well and joined with their one turn, in the order
-- sent. A turn begins after its request was sent: that bounds by how much the service's clock can be
-- ahead from above. It ends before the answer is there, but for work that goes on after it: that
-- bounds it from below. A clock that moves moves both; queues and work after the answer move one.
-- @reads  load, turns
-- @column part BIGINT          tenth, from 0
-- @column requests BIGINT      requests
-- @column most_s DOUBLE        least of a turn's start after its request's
-- @column least_s DOUBLE       most of a turn's end after its answer's
WITH requests AS (
  SELECT DISTINCT trace_id, t_start, duration_s
  FROM load
  WHERE trace_id IS NOT NULL AND (error IS NULL OR error = '') AND COALESCE(status, 0) < 400
    AND t_start BETWEEN 0 AND 9e9 AND duration_s BETWEEN 0 AND 1e7
), served AS (
  SELECT trace_id, MIN(start_ns) AS start_ns, MAX(end_ns) AS end_ns
  FROM turns
  GROUP BY trace_id
  HAVING COUNT(*) = 1
), joined AS (
  SELECT
    s.start_ns / 1e9 - r.t_start AS most_s,
    s.end_ns / 1e9 - (r.t_start + r.duration_s) AS least_s,
    ROW_NUMBER() OVER (ORDER BY r.t_start, r.trace_id) - 1 AS i,
    COUNT(*) OVER () AS n
  FROM requests AS r
  JOIN served AS s ON s.trace_id = r.trace_id
)
SELECT
  CAST(floor(10 * i / n) AS BIGINT) AS part,
  COUNT(*) AS requests,
  MIN(most_s) AS most_s,
  MAX(least_s) AS least_s
FROM joined
GROUP BY floor(10 * i / n)
ORDER BY part
