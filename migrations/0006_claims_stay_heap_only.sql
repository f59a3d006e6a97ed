-- An index whose predicate names `state` makes every claim touch all indexes of the row, because a claim changes `state`.
-- A stored column that a claim leaves as it is says the same.

DROP INDEX deliveries_dead;

ALTER TABLE deliveries
    ADD COLUMN dead boolean NOT NULL GENERATED ALWAYS AS (state IN ('parked', 'in_doubt')) STORED;

-- What a person has to look at.
CREATE INDEX deliveries_dead ON deliveries (sink, source, order_id) WHERE dead;

COMMENT ON COLUMN deliveries.dead IS 'Whether a person may have to look at this row: parked or in doubt.';

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
       k.activated_at
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
) x ON true;

CREATE OR REPLACE VIEW dead_letters AS
SELECT sink, source, order_id, state, wanted_version, applied_version, reason, hint, last_error, attempts,
       next_attempt_at AS next_look_at,
       first_failed_at,
       updated_at AS since,
       extract(epoch FROM now() - updated_at)::bigint AS age_seconds
FROM deliveries
WHERE dead;
