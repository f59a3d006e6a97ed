-- The streams we read: one row per [sources.<name>], with its cursor, its lease and its state.

CREATE TABLE sources (
    name                 text PRIMARY KEY,
    kind                 text        NOT NULL,
    account              text        NOT NULL,
    scope                text,
    cursor               text,
    cursor_at            timestamptz,
    dead_cursor          text,
    lease_owner          text,
    lease_epoch          bigint      NOT NULL DEFAULT 0,
    lease_expires_at     timestamptz,
    state                text        NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'failing', 'parked', 'paused')),
    reason               text,
    hint                 text,
    last_error           text,
    failures             integer     NOT NULL DEFAULT 0,
    next_poll_at         timestamptz NOT NULL DEFAULT now(),
    not_before           timestamptz,
    refused_credential   text,
    last_poll_at         timestamptz,
    last_success_at      timestamptz,
    caught_up_at         timestamptz,
    pages                bigint      NOT NULL DEFAULT 0,
    versions             bigint      NOT NULL DEFAULT 0,
    duplicates           bigint      NOT NULL DEFAULT 0,
    quarantined          bigint      NOT NULL DEFAULT 0,
    throttled            bigint      NOT NULL DEFAULT 0,
    created_at           timestamptz NOT NULL DEFAULT now(),
    CHECK (state IN ('active', 'failing') OR reason IS NOT NULL)
) WITH (fillfactor = 50);

COMMENT ON TABLE sources IS 'One row per configured order stream: where we are in it, who reads it now, and how it fares.';
COMMENT ON COLUMN sources.account IS 'Sources of one account share its request limit.';
COMMENT ON COLUMN sources.scope IS 'Free label of what the token may see; a change of it calls for a look at older versions.';
COMMENT ON COLUMN sources.cursor IS 'nextPageId of the last committed page; written in the transaction that stored that page. NULL: nothing read yet.';
COMMENT ON COLUMN sources.cursor_at IS 'When the cursor was last confirmed by a page.';
COMMENT ON COLUMN sources.dead_cursor IS 'A cursor the stream no longer accepts, kept for the record.';
COMMENT ON COLUMN sources.lease_owner IS 'Process that reads the stream now; names host, process id and start.';
COMMENT ON COLUMN sources.lease_epoch IS 'Raised at each change of lease; the fence every page is written through.';
COMMENT ON COLUMN sources.state IS 'active: fine. failing: in trouble, retried by itself. parked: a person must act, see reason and hint. paused: by an operator.';
COMMENT ON COLUMN sources.failures IS 'Consecutive failed polls.';
COMMENT ON COLUMN sources.next_poll_at IS 'When the stream is read next.';
COMMENT ON COLUMN sources.not_before IS 'The stream asked us not to come back earlier (Retry-After).';
COMMENT ON COLUMN sources.refused_credential IS 'Fingerprint of the token that was refused; another token is tried at once.';
COMMENT ON COLUMN sources.caught_up_at IS 'Last time the stream said that nothing more is ready.';
COMMENT ON COLUMN sources.duplicates IS 'Versions received again and dropped.';
