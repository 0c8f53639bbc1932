-- Which quotas did the service see in rate-limit headers, as its metrics have it?
--
-- One row per provider, model and dimension.
-- @reads  metrics
-- @column provider VARCHAR     provider
-- @column model VARCHAR        model
-- @column dimension VARCHAR    requests, tokens, input_tokens or output_tokens
-- @column quota DOUBLE         the largest limit seen
-- @column remaining DOUBLE     the least that was left
WITH seen AS (
  SELECT
    name,
    COALESCE(attrs['provider'], '') AS provider,
    COALESCE(attrs['model'], '') AS model,
    attrs['dimension'] AS dimension,
    value
  FROM metrics
  WHERE name IN ('agentscope.llm.ratelimit.limit', 'agentscope.llm.ratelimit.remaining')
)
SELECT
  provider,
  model,
  dimension,
  MAX(CASE WHEN name = 'agentscope.llm.ratelimit.limit' THEN value END) AS quota,
  MIN(CASE WHEN name = 'agentscope.llm.ratelimit.remaining' THEN value END) AS remaining
FROM seen
GROUP BY provider, model, dimension
ORDER BY provider, model, dimension
