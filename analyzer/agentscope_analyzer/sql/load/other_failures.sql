-- Which failures did a load generator other than ours see?
--
-- One row per generator, request name and failure, most frequent first.
-- @reads  load_totals
-- @column generator VARCHAR     locust or k6
-- @column name VARCHAR          the request
-- @column error VARCHAR         the failure as the generator words it
-- @column failures BIGINT       how often
SELECT generator, name, error, CAST(SUM(failures) AS BIGINT) AS failures
FROM load_totals
WHERE error IS NOT NULL
GROUP BY generator, name, error
ORDER BY failures DESC, generator, name, error
