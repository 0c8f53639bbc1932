-- What did the run record?
--
-- One row: how many spans of each kind there are, so that "nothing seen" and "not recorded" differ.
-- @reads  spans
-- @column spans BIGINT             all spans
-- @column instances BIGINT         processes that wrote them
-- @column first_start_ns BIGINT    start of the first
-- @column last_end_ns BIGINT       end of the last
-- @column database BIGINT          database statements
-- @column pooled_database BIGINT   of those, statements by whoever also records waits for connections
-- @column tools BIGINT             tool executions
-- @column context_loads BIGINT     context loadings
-- @column http BIGINT              client calls over HTTP, attempts of model calls included
-- @column send_measured BIGINT     turns that measured how long send() waited
-- @column send_wait_s DOUBLE        seconds that turns awaited send()
-- @column open_turns BIGINT        turns still running when their process shut down
-- @column loop_blocks BIGINT       recorded stops of an event loop
-- @column gc_pauses BIGINT         recorded pauses of the garbage collector
WITH named AS (      -- counted apart: distinct values among other sums are not counted in passing
  SELECT COUNT(*) AS instances FROM (SELECT DISTINCT instance FROM spans) AS processes
), counted AS (
  SELECT
    COUNT(*) AS spans,
    MIN(start_ns) AS first_start_ns,
    MAX(end_ns) AS last_end_ns,
    COUNT(*) FILTER (WHERE db_system IS NOT NULL) AS database,
    COUNT(*) FILTER (WHERE db_system IS NOT NULL AND (scope = 'agentscope' OR db_pool IS NOT NULL))
      AS pooled_database,
    COUNT(*) FILTER (WHERE tool IS NOT NULL OR operation = 'execute_tool' OR phase = 'tool_execution')
      AS tools,
    COUNT(*) FILTER (WHERE phase = 'context_load' OR operation = 'retrieval') AS context_loads,
    COUNT(*) FILTER (
      WHERE kind = 'CLIENT' AND http_method IS NOT NULL AND operation IS NULL AND model IS NULL
    ) AS http,
    COUNT(*) FILTER (WHERE is_turn AND send_wait_s IS NOT NULL) AS send_measured,
    SUM(CASE WHEN is_turn THEN send_wait_s END) AS send_wait_s,
    COUNT(*) FILTER (WHERE is_turn AND outcome = 'open') AS open_turns,
    COUNT(*) FILTER (WHERE runtime_event = 'loop_blocked') AS loop_blocks,
    COUNT(*) FILTER (WHERE runtime_event = 'gc_pause') AS gc_pauses
  FROM spans
)
SELECT
  spans, instances, first_start_ns, last_end_ns, database, pooled_database, tools, context_loads, http,
  send_measured, send_wait_s, open_turns, loop_blocks, gc_pauses
FROM counted
CROSS JOIN named
