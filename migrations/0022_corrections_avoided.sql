-- How many documents corrections did without, where one looks for how a sink fares.

ALTER TABLE sinks ADD COLUMN corrections_avoided bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN sinks.corrections_avoided IS 'Documents that corrections did without since the sink was activated: counted when the receipt that says so is recorded.';

UPDATE sinks k
SET corrections_avoided = d.n
FROM (SELECT sink, sum((receipt ->> 'corrections_avoided')::bigint) AS n FROM deliveries GROUP BY sink) d
WHERE k.name = d.sink AND d.n > 0;

-- The new column stands last: a view can be replaced only so.
CREATE OR REPLACE VIEW sink_status AS
SELECT k.name AS sink,
       k.kind,
       k.state,
       k.reason,
       k.hint,
       k.breaker,
       coalesce(d.pending, 0) AS pending,
       coalesce(d.in_flight, 0) AS in_flight,
       coalesce(x.in_doubt, 0) AS in_doubt,
       coalesce(x.parked, 0) AS parked,
       extract(epoch FROM now() - d.oldest_due)::bigint AS oldest_pending_seconds,
       k.last_success_at,
       k.activated_at,
       b.budget_full_until,
       k.corrections_avoided
FROM sinks k
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
           count(*) FILTER (WHERE state = 'in_flight') AS in_flight,
           least(min(next_attempt_at) FILTER (WHERE state = 'pending'), now()) AS oldest_due
    FROM deliveries
    WHERE open AND sink = k.name
) d ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt,
           count(*) FILTER (WHERE state = 'parked') AS parked
    FROM deliveries
    WHERE dead AND sink = k.name
) x ON true
LEFT JOIN LATERAL (
    SELECT max(c.full_until) AS budget_full_until
    FROM call_budgets c
    WHERE (c.scope = 'sink:' || k.name OR starts_with(c.scope, 'sink:' || k.name || '/')) AND c.full_until > now()
) b ON true;
