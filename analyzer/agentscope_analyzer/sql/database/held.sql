-- Who holds a database connection without using it, and while a model answers?
--
-- One row per pool and line of code, of the connections that were idle for 10 ms or more while they
-- were held; shorter ones are no events. All seconds are of one connection, on average.
-- @reads  spans, llm_inferences
-- @column pool VARCHAR            pool, '' where unknown
-- @column code_function VARCHAR   function that took or gave it back, '' where unknown
-- @column code_file VARCHAR       file, '' where unknown
-- @column code_line INTEGER       line; NULL where unknown
-- @column holds BIGINT            connections held, one after the other or at once
-- @column held_s DOUBLE           from getting it to giving it back
-- @column busy_s DOUBLE           of that, at work on statements
-- @column model_s DOUBLE          of that, while calls of models in the same turn ran
-- @column longest_s DOUBLE        the longest
WITH holds AS (
  SELECT
    trace_id,
    span_id,
    COALESCE(db_pool, '') AS pool,
    COALESCE(code_function, '') AS code_function,
    COALESCE(code_file, '') AS code_file,
    code_line,
    start_ns,
    end_ns,
    COALESCE(TRY_CAST(attrs['agentscope.db.connection.busy'] AS DOUBLE), 0e0) AS busy_s
  FROM spans
  WHERE runtime_event = 'connection_held'
), steps AS (       -- a hold's calls of models, one after the other where they overlap
  SELECT
    h.trace_id AS trace_id,
    h.span_id AS span_id,
    GREATEST(i.start_ns, h.start_ns) AS from_ns,
    LEAST(i.end_ns, h.end_ns) AS to_ns
  FROM holds AS h
  JOIN llm_inferences AS i ON i.trace_id = h.trace_id
  WHERE i.start_ns < h.end_ns AND i.end_ns > h.start_ns
), apart AS (
  SELECT
    trace_id,
    span_id,
    to_ns,
    GREATEST(from_ns, COALESCE(MAX(to_ns) OVER (
      PARTITION BY trace_id, span_id ORDER BY from_ns, to_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), from_ns)) AS from_ns
  FROM steps
), pinned AS (
  SELECT trace_id, span_id, CAST(SUM(GREATEST(to_ns - from_ns, 0)) AS DOUBLE) / 1e9 AS model_s
  FROM apart
  GROUP BY trace_id, span_id
)
SELECT
  h.pool AS pool,
  h.code_function AS code_function,
  h.code_file AS code_file,
  h.code_line AS code_line,
  COUNT(*) AS holds,
  AVG(CAST(h.end_ns - h.start_ns AS DOUBLE)) / 1e9 AS held_s,
  AVG(h.busy_s) AS busy_s,
  AVG(COALESCE(p.model_s, 0e0)) AS model_s,
  CAST(MAX(h.end_ns - h.start_ns) AS DOUBLE) / 1e9 AS longest_s
FROM holds AS h
LEFT JOIN pinned AS p ON p.trace_id = h.trace_id AND p.span_id = h.span_id
GROUP BY h.pool, h.code_function, h.code_file, h.code_line
ORDER BY COUNT(*) * AVG(CAST(h.end_ns - h.start_ns AS DOUBLE)) DESC, h.pool, h.code_function, h.code_line
