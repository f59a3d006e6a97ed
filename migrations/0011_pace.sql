-- Calls per second, as spacing: one row a scope, which knows from when on the next call may go out.

ALTER TABLE call_budgets
    DROP CONSTRAINT known_window,
    ADD CONSTRAINT known_window CHECK ("window" IN ('second', 'minute', 'five_minutes', 'hour', 'day', 'month')),
    ADD COLUMN next_slot_at timestamptz;

COMMENT ON COLUMN call_budgets.next_slot_at IS 'Of a second: when the first slot opens that no call has yet. A second keeps no log.';
COMMENT ON COLUMN call_budgets.used IS 'Sinks: calls within the window when the row was last written; of a second those that it had slots for ahead. Sources: calls ever.';
