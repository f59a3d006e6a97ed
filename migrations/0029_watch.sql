-- What is looked for on a timer: deliveries that fail, and how many orders were placed in an hour.

-- Of a claim it changes nothing unless a worker was lost; a settlement that changes it changes deliveries_due as well.
CREATE INDEX deliveries_failing ON deliveries (sink, first_failed_at) WHERE open AND first_failed_at IS NOT NULL;

-- A few pages for millions of orders: they come in the order in which they were placed, or nearly so.
CREATE INDEX orders_placed ON orders USING brin (placed_at) WITH (pages_per_range = 32, autosummarize = on);

COMMENT ON COLUMN alerts.cause IS 'Fixed code, for instance source_parked, unknown_status, dead_letter. See the manual for what each means.';
COMMENT ON COLUMN alerts.last_seen_at IS 'When it was last raised, or last found standing.';
