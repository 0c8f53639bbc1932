-- What was waited for, how often, how long, by how many at once?
--
-- One row per kind of wait and resource. Only waits of a millisecond or more are recorded. A sleep of
-- a call that was refused for billing follows no rate limit: it counts as retry_backoff.
-- @reads  spans
-- @column kind VARCHAR         kind of wait
-- @column resource VARCHAR     name of the pool or lock, '' where unknown
-- @column waits BIGINT         waits
-- @column wall_s DOUBLE        seconds of all of them
-- @column longest_s DOUBLE     the longest
-- @column at_once BIGINT       most that waited at one moment
-- @column handed_on_s DOUBLE   from one's turn to the next's while another waited, median; NULL: never
WITH waits AS (
  SELECT
    CASE WHEN w.wait_kind = 'rate_limit' AND p.billing_code IS NOT NULL THEN 'retry_backoff'
      ELSE w.wait_kind END AS kind,
    COALESCE(w.wait_resource, '') AS resource,
    w.start_ns AS start_ns,
    w.end_ns AS end_ns,
    w.instance AS instance,
    w.span_id AS span_id
  FROM spans AS w
  LEFT JOIN spans AS p
    ON p.trace_id = w.trace_id AND p.span_id = w.parent_id AND p.billing_code IS NOT NULL
  WHERE w.wait_kind IS NOT NULL
), steps AS (
  SELECT kind, resource, start_ns AS at_ns, 1 AS step, span_id FROM waits
  UNION ALL
  SELECT kind, resource, end_ns AS at_ns, -1 AS step, span_id FROM waits
), running AS (
  SELECT
    kind,
    resource,
    SUM(step) OVER (
      PARTITION BY kind, resource ORDER BY at_ns, step, span_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS waiting
  FROM steps
), peaks AS (
  SELECT kind, resource, MAX(waiting) AS at_once FROM running GROUP BY kind, resource
), turns_taken AS (
  SELECT
    kind,
    resource,
    end_ns,
    MIN(start_ns) OVER next AS next_start_ns,
    MIN(end_ns) OVER next AS next_end_ns
  FROM waits
  WINDOW next AS (
    PARTITION BY kind, resource, instance ORDER BY end_ns, start_ns, span_id
    ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING
  )
), handed AS (
  SELECT kind, resource, median(CAST(next_end_ns - end_ns AS DOUBLE)) / 1e9 AS handed_on_s
  FROM turns_taken
  WHERE next_start_ns < end_ns
  GROUP BY kind, resource
), totals AS (
  SELECT
    kind,
    resource,
    COUNT(*) AS waits,
    CAST(SUM(end_ns - start_ns) AS DOUBLE) / 1e9 AS wall_s,
    CAST(MAX(end_ns - start_ns) AS DOUBLE) / 1e9 AS longest_s
  FROM waits
  GROUP BY kind, resource
)
SELECT
  t.kind AS kind,
  t.resource AS resource,
  t.waits AS waits,
  t.wall_s AS wall_s,
  t.longest_s AS longest_s,
  CAST(p.at_once AS BIGINT) AS at_once,
  h.handed_on_s AS handed_on_s
FROM totals AS t
JOIN peaks AS p ON p.kind = t.kind AND p.resource = t.resource
LEFT JOIN handed AS h ON h.kind = t.kind AND h.resource = t.resource
ORDER BY t.wall_s DESC, t.kind, t.resource
