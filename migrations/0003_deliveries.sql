-- Destinations, and what is owed to each of them.

CREATE TABLE sinks (
    name          text PRIMARY KEY,
    kind          text        NOT NULL,
    state         text        NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'blocked')),
    reason        text,
    hint          text,
    breaker       text        NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half_open')),
    versions_mode text        NOT NULL DEFAULT 'latest' CHECK (versions_mode IN ('latest', 'every')),
    stable_for    interval    NOT NULL DEFAULT '0',
    lanes         jsonb       NOT NULL DEFAULT '{}',
    activated_at  timestamptz NOT NULL DEFAULT now(),
    last_success_at timestamptz,
    CHECK (state = 'active' OR reason IS NOT NULL)
);

COMMENT ON TABLE sinks IS 'Destinations that were activated. Each stored order version owes a delivery to every row here; removing a sink is an explicit command.';
COMMENT ON COLUMN sinks.state IS 'active, paused (by an operator), blocked (nothing is accepted until a person acts; a probe goes on).';
COMMENT ON COLUMN sinks.breaker IS 'Worst breaker state of this sink''s lanes.';
COMMENT ON COLUMN sinks.versions_mode IS 'latest: only the newest version is brought; every: each admitted version in turn.';
COMMENT ON COLUMN sinks.stable_for IS 'How long an order must stay without a new version before this sink takes it.';
COMMENT ON COLUMN sinks.lanes IS 'Vendor id to lane (a location or organisation in the destination); others use the lane "".';

CREATE TABLE sink_lanes (
    sink        text        NOT NULL REFERENCES sinks (name) ON DELETE CASCADE,
    lane        text        NOT NULL,
    breaker     text        NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half_open')),
    reason      text,
    opened_at   timestamptz,
    probe_at    timestamptz,
    probe_ms    bigint,
    PRIMARY KEY (sink, lane),
    CHECK ((breaker = 'closed') = (probe_at IS NULL))
);

COMMENT ON TABLE sink_lanes IS 'Circuit breakers, one per location or organisation inside a sink. No row: closed.';
COMMENT ON COLUMN sink_lanes.probe_at IS 'When one delivery may be tried again; the process that moves it wins the probe.';
COMMENT ON COLUMN sink_lanes.probe_ms IS 'Wait before the next probe in milliseconds; doubles while probes fail.';

CREATE TABLE deliveries (
    sink             text        NOT NULL,
    source           text        NOT NULL,
    order_id         text        NOT NULL,
    lane             text        NOT NULL DEFAULT '',
    priority         smallint    NOT NULL DEFAULT 0,
    state            text        NOT NULL,
    open             boolean     NOT NULL GENERATED ALWAYS AS
                     (state IN ('pending', 'in_flight') OR (state = 'in_doubt' AND next_attempt_at IS NOT NULL)) STORED,
    dead             boolean     NOT NULL GENERATED ALWAYS AS (state IN ('parked', 'in_doubt')) STORED,
    wanted_version   bigint      NOT NULL,
    applied_version  bigint,
    decided_version  bigint,
    floor_version    bigint,
    sent_version     bigint,
    attempts         integer     NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz,
    not_before       timestamptz,
    lease_token      uuid,
    lease_owner      text,
    lease_expires_at timestamptz,
    curable          boolean     NOT NULL DEFAULT true,
    waiting_for      text,
    reason           text,
    hint             text,
    notice           text,
    external_id      text,
    receipt          jsonb,
    pending_step     jsonb,
    first_failed_at  timestamptz,
    last_error       text,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, source, order_id),
    CONSTRAINT known_state CHECK (state IN ('pending', 'in_flight', 'in_doubt', 'applied', 'skipped', 'parked')),
    CONSTRAINT leased_while_in_flight CHECK ((state = 'in_flight') = (lease_token IS NOT NULL)),
    CONSTRAINT lease_is_whole CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT pending_is_due_some_time CHECK (state NOT IN ('pending', 'in_flight') OR next_attempt_at IS NOT NULL),
    CONSTRAINT doubt_has_a_step CHECK (state <> 'in_doubt' OR pending_step IS NOT NULL),
    CONSTRAINT closed_has_a_reason CHECK (state NOT IN ('skipped', 'parked') OR reason IS NOT NULL),
    CONSTRAINT applied_is_wanted CHECK (state <> 'applied' OR applied_version = wanted_version)
) WITH (
    fillfactor = 50, -- a claim rewrites many rows of a page at once: only a half-empty page keeps them heap-only
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_analyze_scale_factor = 0.02
);

-- Exactly the claim's order over open rows. A claim changes none of these columns, nor `open`, so it stays heap-only.
CREATE INDEX deliveries_due ON deliveries (sink, lane, priority, next_attempt_at, source, order_id) WHERE open;
-- What a person has to look at. By `dead` and not by `state`: a column of a predicate that changes costs the claim its
-- heap-only update.
CREATE INDEX deliveries_dead ON deliveries (sink, source, order_id) WHERE dead;

COMMENT ON TABLE deliveries IS 'One row per (sink, order): bring this order to this sink, up to wanted_version. Never pruned.';
COMMENT ON COLUMN deliveries.lane IS 'Location or organisation inside the sink; a blocked lane holds up only itself.';
COMMENT ON COLUMN deliveries.priority IS '0 new order, 1 correction of an applied one, 2 backfill.';
COMMENT ON COLUMN deliveries.state IS 'pending, in_flight, in_doubt (sent, no answer), applied, skipped (nothing owed), parked (waits for a person or a newer version).';
COMMENT ON COLUMN deliveries.open IS 'Whether the claim looks at this row.';
COMMENT ON COLUMN deliveries.dead IS 'Whether a person has to look at this row, or certainty is missing.';
COMMENT ON COLUMN deliveries.applied_version IS 'Newest version that the destination is known to hold.';
COMMENT ON COLUMN deliveries.decided_version IS 'Newest version that was applied, skipped or discarded; the walk of versions = every goes on behind it.';
COMMENT ON COLUMN deliveries.floor_version IS 'Versions below were stored before the sink was activated and are not owed (versions = every).';
COMMENT ON COLUMN deliveries.sent_version IS 'Newest version a request went out for, or may have: a claim sets it, an outcome that sent nothing takes it back.';
COMMENT ON COLUMN deliveries.attempts IS 'Counted at the claim, so that a crash counts too. Throttling, a blocked sink and a drain give it back.';
COMMENT ON COLUMN deliveries.not_before IS 'The destination''s own wish; no newer version comes earlier.';
COMMENT ON COLUMN deliveries.lease_token IS 'Fence: every write after the claim names it.';
COMMENT ON COLUMN deliveries.curable IS 'Whether a newer version makes a parked delivery pending again.';
COMMENT ON COLUMN deliveries.waiting_for IS 'retry, stability, dependency, counterpart, budget, breaker; NULL: simply due.';
COMMENT ON COLUMN deliveries.notice IS 'Stands as well as it can, and a person should know: diverged, number_changed, returned, remote_edited, goodwill, …';
COMMENT ON COLUMN deliveries.external_id IS 'What the destination calls this order.';
COMMENT ON COLUMN deliveries.receipt IS 'What is known to stand in the destination: ids, digest, posted amounts in minor units.';
COMMENT ON COLUMN deliveries.pending_step IS 'A step written down before it was sent; nothing else is planned while it stands. May hold personal data.';

CREATE TABLE attempts (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink             text        NOT NULL,
    source           text        NOT NULL,
    order_id         text        NOT NULL,
    version          bigint      NOT NULL,
    attempt          integer     NOT NULL,
    step             text,
    started_at       timestamptz NOT NULL,
    finished_at      timestamptz NOT NULL,
    outcome          text        NOT NULL,
    http_status      smallint,
    reason           text,
    request_digest   bytea,
    response_excerpt text
);

CREATE INDEX attempts_of_order ON attempts (source, order_id);

COMMENT ON TABLE attempts IS 'Every call to a destination and every decision that led to none, append-only.';
COMMENT ON COLUMN attempts.step IS 'Which effect was tried; NULL: a decision without a call.';
COMMENT ON COLUMN attempts.outcome IS 'delivered, retry, throttled, reject, blocked, unknown, unchanged, skipped, parked, lease_expired.';
COMMENT ON COLUMN attempts.request_digest IS 'SHA-256 of the request body.';
COMMENT ON COLUMN attempts.response_excerpt IS 'Beginning of the answer, masked.';
