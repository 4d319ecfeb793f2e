-- Neighbouring runs of like outcomes joined, until a hole: of each the first and the last piece are kept, then paired.
-- Pieces of one time are in the order in which they came; whether they were joined before makes no difference.
marked AS (
  SELECT *, sum(n) OVER (w ROWS UNBOUNDED PRECEDING) AS until_n,
         coalesce(lag(said) OVER w <> said OR first_at - lag(last_at) OVER w > %(gap)s, true) AS is_first,
         coalesce(lead(said) OVER w <> said OR lead(first_at) OVER w - last_at > %(gap)s, true) AS is_last
  FROM piece
  WINDOW w AS (PARTITION BY part, probe_key, target_key, family ORDER BY first_at, place, said, first_err_ms)
), paired AS (
  SELECT part, probe_key, target_key, family, said, first_at, first_err_ms, place, is_first,
         CASE WHEN is_last THEN last_at ELSE lead(last_at) OVER w END AS last_at,
         CASE WHEN is_last THEN last_err_ms ELSE lead(last_err_ms) OVER w END AS last_err_ms,
         CASE WHEN is_last THEN until_n ELSE lead(until_n) OVER w END - until_n + n AS n
  FROM marked WHERE is_first OR is_last
  WINDOW w AS (PARTITION BY part, probe_key, target_key, family ORDER BY first_at, place, said, first_err_ms)
), run AS (
  SELECT * FROM paired WHERE is_first
)
