-- What is each span for, as far as the span itself can tell?
--
-- One row a span of every trace that can hold a turn, traces together, a parent before its children
-- where clocks allow it. Rows of runtime events are left out: they are evidence, not work.
-- A recorder learns in each process which routes serve turns, so a turn that fails early in a fresh
-- process may stay unmarked: a SERVER span with the service and name of a marked one is a turn too. In a
-- run without marks such a span is one where it failed; a model's work makes the others turns.
-- role is own (the span's own code), wait.<kind>, database, tool, inference, http, agent,
-- context_load or llm_call. failure is the cause that a failed call's time and the wait after it
-- belong to; 'billing' where a provider refused because of money, which waiting does not mend;
-- 'cancelled' where the caller gave up, which is no fault of the provider's.
-- @reads  spans, attribution_turn_names
-- @param  marked INTEGER = 1        1: traces with a marked turn; 0: traces with GenAI work
-- @param  bucket_low VARCHAR = 0    first trace bucket: the last two hex digits of the trace id
-- @param  bucket_high VARCHAR = g   first trace bucket that is left out
-- @column trace_id VARCHAR          trace
-- @column span_id VARCHAR           span
-- @column parent_id VARCHAR         parent span, '' at roots
-- @column kind VARCHAR              INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER
-- @column start_ns BIGINT           start
-- @column end_ns BIGINT             end
-- @column instance VARCHAR          process
-- @column role VARCHAR              what the span is for
-- @column failure VARCHAR           llm.rate_limit, llm.retry, billing, cancelled; NULL: all went well
-- @column streams BOOLEAN           the answer came in chunks
-- @column first_chunk_ns BIGINT     when the first chunk came
-- @column is_turn BOOLEAN           marked as a turn, or of the name of one that is
-- @column is_unmarked BOOLEAN       no turn but for its name
-- @column session VARCHAR           conversation
-- @column route VARCHAR             route template, else the span's name
-- @column service VARCHAR           service
-- @column http_status INTEGER       HTTP status of the answer
-- @column error BOOLEAN             the span failed: its status, its outcome or its answer (4xx, 5xx)
-- @column outcome VARCHAR           ok, error, cancelled, abandoned or open
-- @column first_byte_s DOUBLE       from the span's start to the answer's first byte
-- @column send_wait_s DOUBLE        time spent awaiting send()
-- @column is_ours BOOLEAN           recorded by agentscope, whose parents know no other's spans
-- @column in_vain BOOLEAN           a failed call that fails again however long one waits
-- @column await_kind UBIGINT        the same for calls that take alike long by nature
WITH roled AS (
  SELECT
    *,
    COALESCE(is_turn, kind = 'SERVER' AND turn_name IS NOT NULL AND ($marked = 1 OR (
      (status = 'ERROR' OR outcome = 'error' OR http_status >= 400)
      AND COALESCE(http_status NOT IN (401, 403, 404, 405), TRUE)
    ))) AS is_a_turn,
    CASE
      WHEN wait_kind IS NOT NULL THEN concat('wait.', wait_kind)
      WHEN db_system IS NOT NULL THEN 'database'
      WHEN tool IS NOT NULL OR operation = 'execute_tool' OR phase = 'tool_execution' THEN 'tool'
      WHEN kind <> 'SERVER'
        AND operation IN ('chat', 'text_completion', 'generate_content', 'embeddings')
        THEN 'inference'
      WHEN kind = 'CLIENT' AND operation IS NULL AND model IS NOT NULL THEN 'inference'
      WHEN kind = 'CLIENT' AND http_method IS NOT NULL THEN 'http'
      WHEN operation = 'invoke_agent' THEN 'agent'
      WHEN phase IN ('context_load', 'llm_call') THEN phase
      WHEN operation = 'retrieval' THEN 'context_load'
      ELSE 'own'
    END AS role,
    CASE
      WHEN billing_code IS NOT NULL THEN 'billing'
      WHEN http_status IN (429, 529) OR error_type IN ('429', '529')
        OR error_type LIKE '%RateLimit%' OR error_type LIKE '%TooManyRequests%'
        OR error_type LIKE '%Throttling%' OR error_type LIKE '%ResourceExhausted%'
        OR error_type LIKE '%Overloaded%' THEN 'llm.rate_limit'
      WHEN outcome IN ('cancelled', 'abandoned', 'open') OR error_type LIKE '%CancelledError'
        OR error_type LIKE '%GeneratorExit' THEN 'cancelled'
      WHEN http_status >= 400 OR error_type IS NOT NULL OR status = 'ERROR' THEN 'llm.retry'
    END AS failure,
    COALESCE(streamed, first_chunk_s IS NOT NULL) AS streams
  FROM spans
  LEFT JOIN attribution_turn_names ON turn_service = service AND turn_name = name
  WHERE runtime_event IS NULL
    AND substr(trace_id, 31, 2) >= $bucket_low AND substr(trace_id, 31, 2) < $bucket_high
)
SELECT
  trace_id,
  span_id,
  parent_id,
  kind,
  start_ns,
  end_ns,
  instance,
  role,
  failure,
  streams,
  -- Beyond these limits the figure is an instrumentation's mistake, not a time.
  CASE WHEN streams AND first_chunk_s >= 0 AND first_chunk_s < 1e6
    THEN start_ns + LEAST(CAST(round(first_chunk_s * 1e9) AS BIGINT), end_ns - start_ns)
  END AS first_chunk_ns,
  is_a_turn AS is_turn,
  is_a_turn AND is_turn IS NULL AS is_unmarked,
  session,
  COALESCE(http_route, name) AS route,
  service,
  http_status,
  COALESCE(status = 'ERROR' OR outcome = 'error' OR http_status >= 400, status = 'ERROR') AS error,
  outcome,
  first_byte_s,
  send_wait_s,
  scope IS NOT DISTINCT FROM 'agentscope' AS is_ours,
  COALESCE(
    http_status IN (400, 401, 403, 404, 413, 422)
      OR regexp_matches(error_type, '^(400|401|403|404|413|422)$|BadRequest|Authentication'
        || '|PermissionDenied|NotFound|UnprocessableEntity|InvalidRequest|InvalidArgument'),
    FALSE
  ) AS in_vain,
  hash(concat_ws(' ', name, http_status, streamed)) AS await_kind
FROM roled
WHERE trace_id IN (
  SELECT trace_id FROM roled
  WHERE is_a_turn OR ($marked = 0 AND role IN ('inference', 'agent'))
)
ORDER BY trace_id, start_ns, end_ns DESC, span_id
