-- Do calls without recorded attempts take longer under load than those of their like without it?
--
-- One row. Only calls of their like are compared, where at least five of them ran under least load
-- and five under most. Growth says nothing of its reason: a model that slows down looks like back-off.
-- @reads  llm_unseen
-- @column calls BIGINT         calls compared
-- @column least_in_flight DOUBLE calls of the model in flight under least load, on average
-- @column most_in_flight DOUBLE  the same under most load
-- @column least_s DOUBLE       a call under least load, on average; NULL where none could be compared
-- @column most_s DOUBLE        a call under most load that is made up of the same sizes, on average
-- @column growth_s DOUBLE      seconds that calls took beyond those of their like under least load
WITH parts AS (
  SELECT
    provider,
    model,
    streamed,
    size,
    COUNT(*) AS n,
    COUNT(*) FILTER (WHERE part = 1) AS least_n,
    COUNT(*) FILTER (WHERE part = 3) AS most_n,
    AVG(CASE WHEN part = 1 THEN duration_s END) AS least_s,
    AVG(CASE WHEN part = 3 THEN duration_s END) AS most_s,
    AVG(CASE WHEN part = 1 THEN CAST(in_flight AS DOUBLE) END) AS least_in_flight,
    AVG(CASE WHEN part = 3 THEN CAST(in_flight AS DOUBLE) END) AS most_in_flight,
    SUM(CASE WHEN part > 1 THEN duration_s END) AS loaded_s,
    COUNT(*) FILTER (WHERE part > 1) AS loaded_n
  FROM llm_unseen
  GROUP BY provider, model, streamed, size
)
SELECT
  CAST(COALESCE(SUM(n), 0) AS BIGINT) AS calls,
  SUM(least_in_flight * n) / SUM(n) AS least_in_flight,
  SUM(most_in_flight * n) / SUM(n) AS most_in_flight,
  SUM(least_s * n) / SUM(n) AS least_s,
  SUM(most_s * n) / SUM(n) AS most_s,
  SUM(GREATEST(0e0, loaded_s - loaded_n * least_s)) AS growth_s
FROM parts
WHERE least_n >= 5 AND most_n >= 5
