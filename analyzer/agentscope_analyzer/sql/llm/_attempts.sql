-- HTTP attempts of calls to models.
--
-- An attempt lies below its call, or below a call that another instrumentation nests in it, at most
-- two deep. One that was sent again had failed, whatever it said of itself: a time-out is recorded as
-- cancelled, an answer that broke off as 200. A refusal of a call that failed for billing was one
-- for billing: a 429 that means "pay" is no rate limit, however often it is sent again. Where several
-- instrumentations recorded a call's attempts, those of one count: agentscope's, else the first by name.
-- @reads  spans, llm_twins, llm_nested, llm_inferences
-- @column trace_id VARCHAR                trace
-- @column call_id VARCHAR                 span of the call that the attempt belongs to
-- @column provider VARCHAR                the call's provider
-- @column model VARCHAR                   the call's model
-- @column start_ns BIGINT                 start
-- @column end_ns BIGINT                   end
-- @column http_status INTEGER             status of the answer; NULL where none came
-- @column failed BOOLEAN                  no answer or one of 400 and above, broken off, or sent again
-- @column rate_limited BOOLEAN            answered 429 or 529, and not for billing
-- @column billed BOOLEAN                  refused for billing
-- @column backoff_s DOUBLE                what passed from its failure to the next attempt, 0 where none
-- @column pooled BOOLEAN                  whoever recorded it also records waits for connections
-- @column attrs MAP(VARCHAR, VARCHAR)     attributes, response headers among them
WITH others AS (     -- spans for calls that another span stands for, two above at most
  SELECT trace_id, span_id, call_id FROM llm_twins
  UNION ALL
  SELECT
    n.trace_id AS trace_id,
    n.span_id AS span_id,
    COALESCE(t.call_id, above.outer_id, n.outer_id) AS call_id
  FROM llm_nested AS n
  LEFT JOIN llm_nested AS above ON above.trace_id = n.trace_id AND above.span_id = n.outer_id
  LEFT JOIN llm_twins AS t ON t.trace_id = n.trace_id
    AND t.span_id = COALESCE(above.outer_id, n.outer_id)
), homes AS (       -- the spans that an attempt can lie below, each with its call
  SELECT trace_id, span_id AS home_id, span_id AS call_id, provider, model, billing_code
  FROM llm_inferences
  UNION ALL
  SELECT
    i.trace_id AS trace_id,
    o.span_id AS home_id,
    i.span_id AS call_id,
    i.provider AS provider,
    i.model AS model,
    i.billing_code AS billing_code
  FROM others AS o
  JOIN llm_inferences AS i ON i.trace_id = o.trace_id AND i.span_id = o.call_id
), recorded AS (
  SELECT
    a.trace_id AS trace_id,
    a.span_id AS span_id,
    h.call_id AS call_id,
    h.provider AS provider,
    h.model AS model,
    a.start_ns AS start_ns,
    a.end_ns AS end_ns,
    a.http_status AS http_status,
    a.status AS status,
    a.scope AS scope,
    a.billing_code AS billing_code,
    h.billing_code AS call_billing_code
  FROM spans AS a
  JOIN homes AS h ON h.trace_id = a.trace_id AND h.home_id = a.parent_id
  WHERE a.kind = 'CLIENT' AND (a.http_method IS NOT NULL OR a.http_status IS NOT NULL)
    AND a.operation IS NULL AND a.model IS NULL
), again AS (        -- most calls are sent once: there is nothing to compare
  SELECT trace_id, call_id FROM recorded GROUP BY trace_id, call_id HAVING COUNT(*) > 1
), several AS (
  SELECT r.*
  FROM recorded AS r
  JOIN again ON again.trace_id = r.trace_id AND again.call_id = r.call_id
  QUALIFY r.scope IS NOT DISTINCT FROM FIRST_VALUE(r.scope) OVER (
    PARTITION BY r.trace_id, r.call_id ORDER BY r.scope IS NOT DISTINCT FROM 'agentscope' DESC, r.scope
  )
), found AS (
  SELECT
    *,
    start_ns AS last_start_ns,
    CAST(NULL AS BIGINT) AS next_start_ns,
    COALESCE(billing_code, call_billing_code) IS NOT NULL AS unpaid,
    billing_code IS NOT NULL AS told_unpaid
  FROM recorded AS r
  WHERE NOT EXISTS (SELECT 1 FROM again WHERE again.trace_id = r.trace_id AND again.call_id = r.call_id)
  UNION ALL
  SELECT
    *,
    MAX(start_ns) OVER (PARTITION BY trace_id, call_id) AS last_start_ns,
    MIN(start_ns) OVER (
      PARTITION BY trace_id, call_id ORDER BY start_ns, span_id
      ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING
    ) AS next_start_ns,
    COALESCE(MAX(billing_code) OVER (PARTITION BY trace_id, call_id), call_billing_code)
      IS NOT NULL AS unpaid,
    billing_code IS NOT NULL AS told_unpaid
  FROM several
), judged AS (
  SELECT
    *,
    COALESCE(http_status >= 400, FALSE) OR status = 'ERROR' OR start_ns < last_start_ns AS failed,
    COALESCE(http_status IN (429, 529), FALSE) AS refused
  FROM found
)
SELECT
  j.trace_id AS trace_id,
  j.call_id AS call_id,
  j.provider AS provider,
  j.model AS model,
  j.start_ns AS start_ns,
  j.end_ns AS end_ns,
  j.http_status AS http_status,
  j.failed AS failed,
  j.refused AND NOT j.unpaid AS rate_limited,
  j.told_unpaid OR (j.unpaid AND COALESCE(j.http_status IN (402, 429), FALSE)) AS billed,
  CASE WHEN j.failed AND j.next_start_ns > j.end_ns
    THEN CAST(j.next_start_ns - j.end_ns AS DOUBLE) / 1e9 ELSE 0e0 END AS backoff_s,
  j.scope = 'agentscope' AS pooled,
  -- Joined last: until it is known which spans are attempts, so much is not carried along.
  a.attrs AS attrs
FROM judged AS j
JOIN spans AS a ON a.trace_id = j.trace_id AND a.span_id = j.span_id
