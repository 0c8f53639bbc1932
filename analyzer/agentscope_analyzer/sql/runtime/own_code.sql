-- In which spans did own code compete for the interpreter?
--
-- One row per name of a span, by the seconds of turn time that were runtime.cpu in it.
-- @reads  sections, spans
-- @column name VARCHAR      span: a tool, a phase, the turn itself
-- @column wall_s DOUBLE     seconds of turn time
WITH computing AS (  -- few spans, mostly: so those are chosen before names are looked for
  SELECT trace_id, span_id, end_ns - start_ns AS ns FROM sections WHERE cause = 'runtime.cpu'
), named AS (
  SELECT trace_id, span_id, MAX(name) AS name FROM spans
  WHERE trace_id IN (SELECT trace_id FROM computing)
  GROUP BY trace_id, span_id
)
SELECT COALESCE(n.name, '') AS name, CAST(SUM(c.ns) AS DOUBLE) / 1e9 AS wall_s
FROM computing AS c
LEFT JOIN named AS n ON n.trace_id = c.trace_id AND n.span_id = c.span_id
GROUP BY n.name
ORDER BY wall_s DESC, name
