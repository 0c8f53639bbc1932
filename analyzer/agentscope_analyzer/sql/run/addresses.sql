-- Which hosts answered as models?
--
-- One row per host and model; where attempts of calls were recorded they tell, else the calls themselves.
-- @reads  llm_attempts, llm_model_spans
-- @column source VARCHAR      attempts or calls
-- @column address VARCHAR     host that was called; NULL where the recorder did not say
-- @column model VARCHAR       model; '' where unknown
-- @column n BIGINT            how many
SELECT 'attempts' AS source, attrs['server.address'] AS address, model, COUNT(*) AS n
FROM llm_attempts
GROUP BY attrs['server.address'], model
UNION ALL
SELECT 'calls' AS source, address, model, COUNT(*) AS n
FROM llm_model_spans
WHERE is_client
GROUP BY address, model
ORDER BY source, n DESC, address, model
