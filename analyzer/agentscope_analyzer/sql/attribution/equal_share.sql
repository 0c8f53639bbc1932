-- How much of the turns' wall time is each cause's, if parallel spans share every instant equally?
--
-- One row a cause. A span works while it is open and none of its children is; an instant at which
-- k spans of a turn work gives 1/k to each. The second opinion beside the critical path: it picks no
-- winner among parallel spans, and it is computed without any of the path's code.
-- Reads prepared spans: numbered, each within its parent's window, so that the sum over all causes
-- is the turns' wall time. Turns are numbered too, so that a large run can be answered in portions.
-- @reads  sweep_spans
-- @param  first_turn BIGINT = 0                    first turn of the portion
-- @param  end_turn BIGINT = 9223372036854775807    first turn that is left out
-- @column cause VARCHAR   cause of the span's own time
-- @column wall_s DOUBLE   seconds of the turns' wall time
WITH portion AS (
  SELECT * FROM sweep_spans WHERE turn >= $first_turn AND turn < $end_turn
), change AS (       -- a span begins to work when it opens or a child closes, and the reverse
  SELECT turn, span, cause, start_ns AS t, 1 AS step FROM portion
  UNION ALL
  SELECT turn, span, cause, end_ns AS t, -1 AS step FROM portion
  UNION ALL
  SELECT turn, parent AS span, parent_cause AS cause, start_ns AS t, -1 AS step
  FROM portion WHERE parent >= 0
  UNION ALL
  SELECT turn, parent AS span, parent_cause AS cause, end_ns AS t, 1 AS step
  FROM portion WHERE parent >= 0
), state AS (        -- 1 minus the open children from t until the span's next change: works if 1
  SELECT
    turn,
    cause,
    t,
    SUM(step) OVER (PARTITION BY span ORDER BY t, step
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS balance,
    MIN(t) OVER (PARTITION BY span ORDER BY t, step
      ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING) AS t_next
  FROM change
), working AS (
  SELECT turn, cause, t, t_next FROM state WHERE balance > 0 AND t_next > t
), tick AS (
  SELECT turn, cause, t, 1 AS step FROM working
  UNION ALL
  SELECT turn, cause, t_next AS t, -1 AS step FROM working
), busy AS (         -- how many spans of the turn work from t until the turn's next tick
  SELECT
    turn,
    cause,
    t,
    step,
    SUM(step) OVER (PARTITION BY turn ORDER BY t, step
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS workers,
    MIN(t) OVER (PARTITION BY turn ORDER BY t, step
      ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING) AS t_next
  FROM tick
), clock AS (        -- a clock that runs at 1/k: what a stretch is worth is its difference
  SELECT
    cause,
    step,
    SUM(CASE WHEN workers > 0 THEN CAST(t_next - t AS DOUBLE) / workers ELSE 0.0 END)
      OVER (PARTITION BY turn ORDER BY t, step
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS worth
  FROM busy
)
SELECT cause, SUM(-step * COALESCE(worth, 0.0)) / 1e9 AS wall_s FROM clock
GROUP BY cause
ORDER BY cause
