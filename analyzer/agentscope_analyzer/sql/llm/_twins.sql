-- Spans for calls to models that another instrumentation has recorded, too.
--
-- Two instrumentations of one client need not know of each other: their spans for one call then stand
-- side by side. Of those in one process and one trace, two are the same call if the provider gave
-- both answers the same id; or, where an id is missing, if one interval lies within the other but for
-- a tenth of the shorter, of the same model as far as both say, and neither has a span closer in
-- time. Spans of one instrumentation are never the same call. The span of agentscope leads, which
-- knows its attempts; among others the longest.
-- @reads  spans, llm_model_spans
-- @column trace_id VARCHAR    trace
-- @column span_id VARCHAR     span that is left out
-- @column call_id VARCHAR     span that stands for the call
WITH mixed AS (
  SELECT trace_id FROM llm_model_spans GROUP BY trace_id HAVING MIN(scope) <> MAX(scope)
), tops AS (
  SELECT
    s.trace_id AS trace_id,
    s.span_id AS span_id,
    s.parent_id AS parent_id,
    s.start_ns AS start_ns,
    s.end_ns AS end_ns,
    s.scope AS scope,
    s.embeds AS embeds,
    s.response_id AS response_id,
    regexp_extract(s.model, '[^/]*$') AS model,
    regexp_extract(s.asked_model, '[^/]*$') AS asked_model
  FROM llm_model_spans AS s
  LEFT JOIN llm_model_spans AS p ON p.trace_id = s.trace_id AND p.span_id = s.parent_id
  WHERE p.span_id IS NULL AND s.trace_id IN (SELECT trace_id FROM mixed)
), nested AS (       -- whoever has a span within another's has not one beside it for the same call
  SELECT m.trace_id AS trace_id, m.parent_id AS span_id, list(m.scope) AS scopes
  FROM llm_model_spans AS m
  WHERE m.trace_id IN (SELECT trace_id FROM tops)
  GROUP BY m.trace_id, m.parent_id
), nodes AS (
  SELECT trace_id, span_id, MIN(parent_id) AS parent_id, MIN(kind) AS kind
  FROM spans
  WHERE trace_id IN (SELECT trace_id FROM tops)
  GROUP BY trace_id, span_id
), entries AS (      -- the topmost span of the same process: a request comes in below a call, or on top
  WITH RECURSIVE climb AS (
    SELECT n.trace_id AS trace_id, n.span_id AS span_id, n.span_id AS at_id,
      n.parent_id AS up_id, n.kind AS kind, 0 AS depth
    FROM nodes AS n
    JOIN tops AS t ON t.trace_id = n.trace_id AND t.span_id = n.span_id
    UNION ALL
    SELECT c.trace_id, c.span_id, n.span_id, n.parent_id, n.kind, c.depth + 1
    FROM climb AS c
    JOIN nodes AS n ON n.trace_id = c.trace_id AND n.span_id = c.up_id
    WHERE c.depth < 100 AND (c.kind NOT IN ('SERVER', 'CONSUMER') OR n.kind = 'SERVER')
  )
  SELECT trace_id, span_id, arg_max(at_id, depth) AS entry_id FROM climb GROUP BY trace_id, span_id
), placed AS (
  SELECT
    t.*,
    e.entry_id AS entry_id,
    list_append(COALESCE(n.scopes, []), t.scope) AS scopes,
    t.scope = 'agentscope' AS ours
  FROM tops AS t
  JOIN entries AS e ON e.trace_id = t.trace_id AND e.span_id = t.span_id
  LEFT JOIN nested AS n ON n.trace_id = t.trace_id AND n.span_id = t.span_id
), pairs AS (
  SELECT
    a.trace_id AS trace_id,
    a.span_id AS span_id,
    a.scope AS scope,
    a.ours AS ours,
    a.start_ns AS start_ns,
    a.end_ns AS end_ns,
    b.span_id AS other_id,
    b.scope AS other_scope,
    b.ours AS other_ours,
    b.start_ns AS other_start_ns,
    b.end_ns AS other_end_ns,
    COALESCE(a.response_id = b.response_id, FALSE) AS sure,
    abs(a.start_ns - b.start_ns) + abs(a.end_ns - b.end_ns) AS apart_ns,
    LEAST(a.end_ns, b.end_ns) - GREATEST(a.start_ns, b.start_ns) AS shared_ns,
    LEAST(a.end_ns - a.start_ns, b.end_ns - b.start_ns) AS shorter_ns
  FROM placed AS a
  JOIN placed AS b ON b.trace_id = a.trace_id AND b.entry_id = a.entry_id
    AND b.scope <> a.scope AND b.embeds = a.embeds
  WHERE NOT list_has_any(a.scopes, b.scopes)
    AND (a.response_id IS NULL OR b.response_id IS NULL OR a.response_id = b.response_id)
    AND (a.asked_model IN ('', b.asked_model, b.model) OR b.asked_model IN ('', a.model)
      OR a.model = b.model)
), closest AS (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY trace_id, span_id, other_scope
      ORDER BY sure DESC, apart_ns, other_id) AS choice,
    ROW_NUMBER() OVER (PARTITION BY trace_id, other_id, scope
      ORDER BY sure DESC, apart_ns, span_id) AS other_choice
  FROM pairs
  WHERE sure OR (shared_ns > 0 AND 10 * shared_ns >= 9 * shorter_ns)
), twins AS (
  SELECT trace_id, span_id, other_id AS call_id
  FROM closest
  WHERE choice = 1 AND other_choice = 1
    AND (other_ours, other_end_ns - other_start_ns, -other_start_ns, other_id)
      > (ours, end_ns - start_ns, -start_ns, span_id)
  QUALIFY ROW_NUMBER() OVER (PARTITION BY trace_id, span_id
    ORDER BY other_ours DESC, other_end_ns - other_start_ns DESC, other_start_ns, other_id DESC) = 1
)
SELECT t.trace_id AS trace_id, t.span_id AS span_id, COALESCE(u.call_id, t.call_id) AS call_id
FROM twins AS t
LEFT JOIN twins AS u ON u.trace_id = t.trace_id AND u.span_id = t.call_id
