-- Who measured when, network by network: one narrow range for each probe of a country instead of every row of its year.
-- L0, the power, is the rung that every look at the ladder has a row of.
CREATE INDEX rollup_1h_ran ON rollup_1h (target_key, probe_key, bucket) INCLUDE (kind) WHERE n > n_not_run;
