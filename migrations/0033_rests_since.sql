-- Lists of deliveries, latest changed first, cost what they show and not what there is: 100,000 dead letters were sorted for
-- fifty of them. A column of its own, because an index on updated_at would cost every claim its heap-only update: this one
-- stays NULL from one claim to the next. Rewrites the table once.

ALTER TABLE deliveries
    ADD COLUMN rests_since timestamptz GENERATED ALWAYS AS
        (CASE WHEN state NOT IN ('pending', 'in_flight') THEN updated_at END) STORED;

CREATE INDEX deliveries_dead_letters ON deliveries (rests_since DESC, sink, source, order_id) WHERE dead;
CREATE INDEX deliveries_closed ON deliveries (rests_since DESC, sink, source, order_id) WHERE NOT open AND NOT dead;

COMMENT ON COLUMN deliveries.rests_since IS 'Last change of a delivery that is neither due, scheduled nor being sent; NULL for the others.';

CREATE OR REPLACE VIEW dead_letters AS
SELECT sink, source, order_id, state, wanted_version, applied_version, reason, hint, last_error, attempts,
       next_attempt_at AS next_look_at,
       first_failed_at,
       rests_since AS since,
       extract(epoch FROM now() - rests_since)::bigint AS age_seconds
FROM deliveries
WHERE dead;
