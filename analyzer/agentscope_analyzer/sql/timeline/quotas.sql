-- How much was left of each quota over the course of the run?
--
-- One row per quota and bucket in which a process told of it; of the quotas, those eight of which
-- least was left.
-- @reads  metrics, timeline_buckets
-- @column place BIGINT        1 for the quota of which least was left, relative to its size
-- @column provider VARCHAR    provider
-- @column model VARCHAR       model
-- @column dimension VARCHAR   requests, tokens, input_tokens or output_tokens
-- @column bucket BIGINT       stretch of the run: 0 for the first
-- @column start_ns BIGINT     its start
-- @column end_ns BIGINT       its end
-- @column quota DOUBLE        the quota
-- @column remaining DOUBLE    the least that was left of it
WITH run AS (
  SELECT
    MIN(start_ns) AS first_ns,
    MAX(end_ns) AS last_ns,
    MAX(width_ns) AS width_ns,
    COUNT(*) AS buckets
  FROM timeline_buckets
), seen AS (
  SELECT
    m.name AS name,
    COALESCE(m.attrs['provider'], '') AS provider,
    COALESCE(m.attrs['model'], '') AS model,
    COALESCE(m.attrs['dimension'], '') AS dimension,
    LEAST(CAST(FLOOR((m.time_ns - r.first_ns) / r.width_ns) AS BIGINT), r.buckets - 1) AS bucket,
    m.value AS value
  FROM metrics AS m
  CROSS JOIN run AS r
  WHERE m.name IN ('agentscope.llm.ratelimit.limit', 'agentscope.llm.ratelimit.remaining')
    AND m.value >= 0 AND m.time_ns BETWEEN r.first_ns AND r.last_ns
), points AS (
  SELECT
    provider,
    model,
    dimension,
    bucket,
    MAX(CASE WHEN name = 'agentscope.llm.ratelimit.limit' THEN value END) AS quota,
    MIN(CASE WHEN name = 'agentscope.llm.ratelimit.remaining' THEN value END) AS remaining
  FROM seen
  GROUP BY provider, model, dimension, bucket
), least AS (
  SELECT provider, model, dimension, MIN(remaining / quota) AS part
  FROM points
  WHERE quota > 0 AND remaining IS NOT NULL
  GROUP BY provider, model, dimension
), ranked AS (
  SELECT
    provider,
    model,
    dimension,
    ROW_NUMBER() OVER (ORDER BY part, provider, model, dimension) AS place
  FROM least
)
SELECT
  k.place AS place,
  p.provider AS provider,
  p.model AS model,
  p.dimension AS dimension,
  b.bucket AS bucket,
  b.start_ns AS start_ns,
  b.end_ns AS end_ns,
  p.quota AS quota,
  p.remaining AS remaining
FROM points AS p
JOIN ranked AS k ON k.provider = p.provider AND k.model = p.model AND k.dimension = p.dimension
JOIN timeline_buckets AS b ON b.bucket = p.bucket
WHERE k.place <= 8 AND p.quota > 0 AND p.remaining IS NOT NULL
ORDER BY k.place, b.bucket
