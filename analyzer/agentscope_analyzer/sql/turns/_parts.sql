-- Turns with the parts of the run by which they are compared.
--
-- By duration: at or above the p95 are the slow ones, the middle fifth are those around the median.
-- By load: three equal parts by how many turns were in flight when a turn began, itself included.
-- Clusters are sessions, dealt out to 500 clusters where there are more: what a resampling draws.
-- A turn whose session is not known is a session of its own.
-- @reads  turns, turns_sessions
-- @column turn_id VARCHAR      turn
-- @column cluster BIGINT       cluster of its session
-- @column known BOOLEAN        its session is known
-- @column start_ns BIGINT      its start
-- @column duration_s DOUBLE    its duration
-- @column place DOUBLE         its place by duration: 0 for the shortest, 1 for the longest
-- @column slow BOOLEAN         at or above the p95 duration
-- @column middle BOOLEAN       of the middle fifth by duration
-- @column edge DOUBLE          0.95, 0.6 or 0.4 for the turns nearest to that place; NULL for others
-- @column in_flight BIGINT     turns in flight when it began
-- @column load_part BIGINT     1 for the third of turns with least in flight, to 3 for that with most
WITH steps AS (
  SELECT turn_id, start_ns AS at_ns, 1 AS step FROM turns
  UNION ALL
  SELECT turn_id, end_ns AS at_ns, -1 AS step FROM turns
), flight AS (
  SELECT
    turn_id,
    step,
    SUM(step) OVER (ORDER BY at_ns, step, turn_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS in_flight
  FROM steps
), by_flight AS (
  SELECT
    turn_id,
    in_flight,
    ROW_NUMBER() OVER (ORDER BY in_flight, turn_id) - 1 AS i,
    COUNT(*) OVER () AS n
  FROM flight
  WHERE step = 1
), ranked AS (
  SELECT
    turn_id,
    duration_s,
    ROW_NUMBER() OVER (ORDER BY duration_s, turn_id) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM turns
), by_duration AS (
  -- near an edge: within 2 % of all turns, at least the three on either side
  SELECT
    turn_id,
    duration_s,
    i / GREATEST(1e0, last_i) AS place,
    GREATEST(0.02e0, 3e0 / GREATEST(1e0, last_i)) AS near
  FROM ranked
), threshold AS (
  -- a millionth of slack: the weighted sum of equal durations may round upwards
  SELECT 0.999999e0 * SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s
  FROM ranked
), named AS (
  SELECT turn_id, session, start_ns, COALESCE(session, turn_id) AS of_session FROM turns_sessions
), dealt AS (
  SELECT of_session, (ROW_NUMBER() OVER (ORDER BY of_session) - 1) % 500 AS cluster
  FROM (SELECT DISTINCT of_session FROM named) AS sessions
)
SELECT
  d.turn_id AS turn_id,
  dealt.cluster AS cluster,
  named.session IS NOT NULL AS known,
  named.start_ns AS start_ns,
  d.duration_s AS duration_s,
  d.place AS place,
  d.duration_s >= (SELECT p95_s FROM threshold) AS slow,
  d.place >= 0.4e0 AND d.place <= 0.6e0 AS middle,
  CASE
    WHEN ABS(d.place - 0.95e0) <= d.near THEN 0.95e0
    WHEN ABS(d.place - 0.6e0) <= d.near THEN 0.6e0
    WHEN ABS(d.place - 0.4e0) <= d.near THEN 0.4e0
  END AS edge,
  CAST(f.in_flight AS BIGINT) AS in_flight,
  CAST(CASE WHEN 3 * f.i < f.n THEN 1 WHEN 3 * f.i < 2 * f.n THEN 2 ELSE 3 END AS BIGINT) AS load_part
FROM by_duration AS d
JOIN by_flight AS f ON f.turn_id = d.turn_id
JOIN named ON named.turn_id = d.turn_id
JOIN dealt ON dealt.of_session = named.of_session
