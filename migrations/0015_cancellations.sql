-- What a person may ask for, continued: a cancellation at a destination that holds orders by itself.

COMMENT ON COLUMN operator_actions.action IS 'retry, discard, adopt, replay, cancel, backfill (of a delivery); pause, resume (of a sink or source); rewind (of a source), quarantine_retry (of an order); prune (a run, whose counts rise while it goes on).';
