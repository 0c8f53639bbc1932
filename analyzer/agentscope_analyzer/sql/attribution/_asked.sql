-- Which model of which provider did each call ask?
--
-- One row a span that may be a call of a model. Read where calls failed: whether the next call is
-- another try shows in what it asks.
-- @reads  spans
-- @column trace_id VARCHAR   trace
-- @column span_id VARCHAR    span
-- @column asked VARCHAR      provider and model; NULL: no model known
SELECT
  trace_id,
  span_id,
  COALESCE(provider, '') || ' ' || COALESCE(attrs['gen_ai.request.model'], model) AS asked
FROM spans
WHERE operation IS NOT NULL OR model IS NOT NULL
