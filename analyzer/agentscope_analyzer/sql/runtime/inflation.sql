-- Do unrelated kinds of waiting last longer when the event loop was blocked meanwhile?
--
-- A blocked loop delays the end of every await that became ready during the block; a slow upstream
-- delays its own kind alone. One row per kind of awaited work with both readings. An await counts
-- as hit when a block of its process began before it ended and ended within 20 ms before that.
-- @reads  spans
-- @column kind VARCHAR           database, model or http
-- @column hit BIGINT             awaits that a block may have delayed
-- @column missed BIGINT          awaits that none did
-- @column hit_median_s DOUBLE    median duration of the former
-- @column missed_median_s DOUBLE median duration of the latter
WITH blocks AS (
  SELECT instance, start_ns, end_ns FROM spans WHERE runtime_event = 'loop_blocked'
), near AS (         -- the only stretches of 20 ms in which an await can end that a block has hit
  SELECT DISTINCT end_ns // 20000000 + step AS stretch
  FROM blocks
  CROSS JOIN (VALUES (-1), (0), (1)) AS steps (step)
), awaits AS (
  SELECT
    instance,
    start_ns,
    end_ns,
    CASE
      WHEN db_system IS NOT NULL THEN 'database'
      WHEN operation IN ('chat', 'text_completion', 'generate_content', 'embeddings') THEN 'model'
      ELSE 'http'
    END AS kind,
    end_ns // 20000000 IN (SELECT stretch FROM near) AS is_near
  FROM spans
  WHERE kind = 'CLIENT'
), marks AS (
  SELECT instance, end_ns - 1000000 AS at_ns, 0 AS is_await, end_ns AS block_end_ns,
    CAST(NULL AS BIGINT) AS start_ns, CAST(NULL AS VARCHAR) AS kind
  FROM blocks
  UNION ALL
  SELECT instance, end_ns AS at_ns, 1 AS is_await, CAST(NULL AS BIGINT) AS block_end_ns, start_ns, kind
  FROM awaits
  WHERE is_near
), latest AS (
  SELECT
    is_await,
    kind,
    start_ns,
    at_ns AS end_ns,
    MAX(block_end_ns) OVER (
      PARTITION BY instance ORDER BY at_ns, is_await ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS block_end_ns
  FROM marks
), judged AS (
  SELECT
    kind,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s,
    COALESCE(block_end_ns > start_ns AND end_ns - block_end_ns < 20000000, FALSE) AS hit
  FROM latest
  WHERE is_await = 1
  UNION ALL
  SELECT kind, CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s, FALSE AS hit
  FROM awaits
  WHERE NOT is_near
)
SELECT
  kind,
  COUNT(*) FILTER (WHERE hit) AS hit,
  COUNT(*) FILTER (WHERE NOT hit) AS missed,
  median(CASE WHEN hit THEN duration_s END) AS hit_median_s,
  median(CASE WHEN NOT hit THEN duration_s END) AS missed_median_s
FROM judged
GROUP BY kind
ORDER BY kind
