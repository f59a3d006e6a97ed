-- Calls in progress at a destination that limits them for all processes together.

CREATE TABLE call_slots (
    sink       text        NOT NULL REFERENCES sinks (name) ON DELETE CASCADE,
    slot       integer     NOT NULL CHECK (slot > 0),
    owner      text,
    expires_at timestamptz,
    PRIMARY KEY (sink, slot),
    CHECK ((owner IS NULL) = (expires_at IS NULL))
);

COMMENT ON TABLE call_slots IS 'The `concurrency` of a sink whose destination limits calls in progress, shared by all processes: one call in a slot at a time. A sink without such a limit has no row.';
COMMENT ON COLUMN call_slots.owner IS 'The process that holds it until expires_at; NULL: nobody.';
