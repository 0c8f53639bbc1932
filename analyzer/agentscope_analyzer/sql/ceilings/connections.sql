-- For how long did each live session hold connections to the servers of its models?
--
-- One row per server and session, or group of sessions where there are very many; sessions that never
-- called the server are there too. An HTTP attempt holds a connection from its start to its end, but
-- for the time in which it waits for a free one.
-- @reads  llm_attempts, turns_sessions, spans
-- @param  from_ns BIGINT         what lies before is cut off
-- @param  to_ns BIGINT           what lies after, too
-- @param  groups BIGINT = 2000   most rows of a server
-- @column server VARCHAR         host of the server, with its port where that is known; '' where unknown
-- @column row_number BIGINT      number of the session or group, from 0; -1: attempts of no known session
-- @column live_s DOUBLE          seconds for which it was live
-- @column attempts BIGINT        attempts
-- @column held_s DOUBLE          seconds for which they held a connection
WITH lives AS (
  SELECT session, MIN(start_ns) AS start_ns, MAX(end_ns) AS end_ns
  FROM turns_sessions
  WHERE session IS NOT NULL
  GROUP BY session
), numbered AS (
  SELECT session, start_ns, end_ns, (ROW_NUMBER() OVER (ORDER BY session) - 1) % $groups AS row_number
  FROM lives
), grouped AS (
  SELECT
    row_number,
    CAST(SUM(GREATEST(0, LEAST(end_ns, $to_ns) - GREATEST(start_ns, $from_ns))) AS DOUBLE) / 1e9 AS live_s
  FROM numbered
  GROUP BY row_number
  UNION ALL
  SELECT -1 AS row_number, 0e0 AS live_s
), queued AS (
  SELECT
    w.trace_id AS trace_id,
    a.start_ns AS start_ns,
    SUM(GREATEST(0, LEAST(w.end_ns, a.end_ns, $to_ns) - GREATEST(w.start_ns, a.start_ns, $from_ns)))
      AS waited_ns
  FROM spans AS w
  JOIN spans AS a ON a.trace_id = w.trace_id AND a.span_id = w.parent_id
  WHERE w.wait_kind = 'http.pool'
  GROUP BY w.trace_id, a.start_ns, a.span_id
), tried AS (
  SELECT
    CASE WHEN attrs['server.port'] IS NULL THEN COALESCE(attrs['server.address'], '')
      ELSE concat(COALESCE(attrs['server.address'], ''), ':', attrs['server.port']) END AS server,
    trace_id,
    start_ns,
    LEAST(end_ns, $to_ns) - GREATEST(start_ns, $from_ns) AS inside_ns
  FROM llm_attempts
  WHERE end_ns > $from_ns AND start_ns < $to_ns
), held AS (
  SELECT
    a.server AS server,
    COALESCE(n.row_number, -1) AS row_number,
    COUNT(*) AS attempts,
    CAST(SUM(GREATEST(0, a.inside_ns - COALESCE(q.waited_ns, 0))) AS DOUBLE) / 1e9 AS held_s
  FROM tried AS a
  LEFT JOIN queued AS q ON q.trace_id = a.trace_id AND q.start_ns = a.start_ns
  LEFT JOIN turns_sessions AS t
    ON t.trace_id = a.trace_id AND a.start_ns >= t.start_ns AND a.start_ns <= t.end_ns
  LEFT JOIN numbered AS n ON n.session = t.session
  GROUP BY a.server, COALESCE(n.row_number, -1)
), servers AS (
  SELECT DISTINCT server FROM held
)
SELECT
  s.server AS server,
  g.row_number AS row_number,
  g.live_s AS live_s,
  COALESCE(h.attempts, 0) AS attempts,
  COALESCE(h.held_s, 0e0) AS held_s
FROM servers AS s
CROSS JOIN grouped AS g
LEFT JOIN held AS h ON h.server = s.server AND h.row_number = g.row_number
ORDER BY s.server, g.row_number
