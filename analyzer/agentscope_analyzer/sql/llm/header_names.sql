-- Which response headers do attempts of model calls carry?
--
-- One row per attribute that holds one.
-- @reads  llm_attempts
-- @param  prefix VARCHAR = http.response.header.   how the names of such attributes begin
-- @column attribute VARCHAR    the attribute
-- @column attempts BIGINT      attempts that have it
WITH named AS (
  SELECT unnest(map_keys(attrs)) AS attribute FROM llm_attempts
)
SELECT attribute, COUNT(*) AS attempts
FROM named
WHERE starts_with(attribute, $prefix)
GROUP BY attribute
ORDER BY attribute
