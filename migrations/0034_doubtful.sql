-- Counting what waits for a person reads an index and no row, whatever there is: 50,000 dead letters were read to learn which of
-- them are doubts. A column of its own, for the reason that `open` and `dead` are: an index on state would cost every claim its
-- heap-only update. Rewrites the table once.

ALTER TABLE deliveries
    ADD COLUMN doubtful boolean NOT NULL GENERATED ALWAYS AS (state = 'in_doubt') STORED;

CREATE INDEX deliveries_doubts ON deliveries (rests_since DESC, sink, source, order_id) WHERE doubtful;
-- A rare reason among 100,000 dead letters was looked for row by row.
CREATE INDEX deliveries_dead_reasons ON deliveries (reason, rests_since DESC, sink, source, order_id) WHERE dead;

COMMENT ON COLUMN deliveries.doubtful IS 'Whether nobody knows what a sent step did. A person looks at it, or a read-back will.';
