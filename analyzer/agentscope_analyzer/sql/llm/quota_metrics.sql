-- Which quotas did the service see in rate-limit headers, as its metrics have it?
--
-- One row per provider, model and dimension.
-- @reads  metrics
-- @column provider VARCHAR     provider
-- @column model VARCHAR        model
-- @column dimension VARCHAR    requests, tokens, input_tokens or output_tokens
-- @column quota DOUBLE         the largest limit seen
-- @column remaining DOUBLE     the least that was left
-- @column window_s DOUBLE      time in which it refills, as said most often; NULL where never said
WITH seen AS (
  SELECT
    name,
    COALESCE(attrs['provider'], '') AS provider,
    COALESCE(attrs['model'], '') AS model,
    attrs['dimension'] AS dimension,
    value
  FROM metrics
  WHERE name IN (
    'agentscope.llm.ratelimit.limit',
    'agentscope.llm.ratelimit.remaining',
    'agentscope.llm.ratelimit.window'
  )
), counted AS (
  SELECT provider, model, dimension, value AS window_s, COUNT(*) AS points
  FROM seen
  WHERE name = 'agentscope.llm.ratelimit.window' AND value > 0
  GROUP BY provider, model, dimension, value
), ranked AS (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY provider, model, dimension ORDER BY points DESC, window_s) AS place
  FROM counted
), limits AS (
  SELECT
    provider,
    model,
    dimension,
    MAX(CASE WHEN name = 'agentscope.llm.ratelimit.limit' THEN value END) AS quota,
    MIN(CASE WHEN name = 'agentscope.llm.ratelimit.remaining' THEN value END) AS remaining
  FROM seen
  GROUP BY provider, model, dimension
)
SELECT
  l.provider AS provider,
  l.model AS model,
  l.dimension AS dimension,
  l.quota AS quota,
  l.remaining AS remaining,
  r.window_s AS window_s
FROM limits AS l
LEFT JOIN ranked AS r
  ON r.provider = l.provider AND r.model = l.model AND r.dimension = l.dimension AND r.place = 1
ORDER BY l.provider, l.model, l.dimension
