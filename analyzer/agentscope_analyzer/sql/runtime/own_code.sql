-- In which spans did own code compete for the interpreter?
--
-- One row per name of a span, by the seconds of turn time that were runtime.cpu in it.
-- @reads  sections, spans
-- @column name VARCHAR      span: a tool, a phase, the turn itself
-- @column wall_s DOUBLE     seconds of turn time
WITH named AS (
  SELECT trace_id, span_id, MAX(name) AS name FROM spans GROUP BY trace_id, span_id
)
SELECT COALESCE(n.name, '') AS name, CAST(SUM(s.end_ns - s.start_ns) AS DOUBLE) / 1e9 AS wall_s
FROM sections AS s
LEFT JOIN named AS n ON n.trace_id = s.trace_id AND n.span_id = s.span_id
WHERE s.cause = 'runtime.cpu'
GROUP BY n.name
ORDER BY wall_s DESC, name
