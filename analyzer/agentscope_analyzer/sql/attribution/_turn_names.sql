-- Which names do the spans of turns bear?
--
-- One row a service and name. Read by whoever looks for turns that a recorder did not mark: they are
-- named as marked ones. In a run without any marks those count that a trace's first work of a model or
-- an agent fell into, the outermost of each trace, where the name tells a route.
-- @reads  spans
-- @column turn_service VARCHAR   service
-- @column turn_name VARCHAR      name of a SERVER span that is a turn
WITH marked AS (
  SELECT DISTINCT service, name FROM spans WHERE is_turn AND kind = 'SERVER'
), unmarked AS (
  SELECT 1 AS one WHERE NOT EXISTS (SELECT 1 AS one FROM spans WHERE is_turn)
), worked AS (
  SELECT s.trace_id AS trace_id, MIN(s.start_ns) AS start_ns
  FROM unmarked
  CROSS JOIN spans AS s
  WHERE s.kind <> 'SERVER' AND (
    s.operation IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'invoke_agent')
    OR (s.kind = 'CLIENT' AND s.operation IS NULL AND s.model IS NOT NULL)
  )
  GROUP BY s.trace_id
), above AS (
  SELECT
    s.service AS service,
    s.name AS name,
    s.http_route AS http_route,
    ROW_NUMBER() OVER (PARTITION BY s.trace_id ORDER BY s.start_ns, s.end_ns DESC, s.span_id) AS place
  FROM worked AS w
  JOIN spans AS s ON s.trace_id = w.trace_id
  WHERE s.kind = 'SERVER' AND s.start_ns <= w.start_ns AND s.end_ns >= w.start_ns
)
SELECT service AS turn_service, name AS turn_name FROM marked
UNION
SELECT service AS turn_service, name AS turn_name
FROM above
WHERE place = 1 AND (http_route IS NOT NULL OR name LIKE '%/%')
