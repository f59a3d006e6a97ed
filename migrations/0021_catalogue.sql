-- What is known of products, stock and customers in a destination, how it is kept fresh, and what a look at what we posted
-- found.

CREATE TABLE catalogue_cursors (
    sink             text        NOT NULL,
    kind             text        NOT NULL CHECK (kind IN ('product', 'stock', 'customer', 'document')),
    cursor           jsonb,
    pull             jsonb,
    registered_at    timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    next_pull_at     timestamptz,
    last_pull_at     timestamptz,
    last_full_run_at timestamptz,
    next_sweep_at    timestamptz,
    last_sweep_at    timestamptz,
    failures         integer     NOT NULL DEFAULT 0,
    last_error       text,
    skipped_budget   bigint      NOT NULL DEFAULT 0,
    daily_cursor     jsonb,
    daily_at         timestamptz,
    former_cursor    jsonb,
    suspect_at       timestamptz,
    fresh_within     interval    NOT NULL,
    sweep_items      integer     CHECK (sweep_items > 0),
    sweep_every      interval,
    epoch            bigint      NOT NULL DEFAULT 0,
    lease_owner      text,
    lease_expires_at timestamptz,
    PRIMARY KEY (sink, kind),
    CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
    CHECK (kind <> 'document' OR next_pull_at IS NULL)
);

COMMENT ON TABLE catalogue_cursors IS 'How far changes of each kind are known, and when it is that kind''s turn: whoever leases the row takes it.';
COMMENT ON COLUMN catalogue_cursors.kind IS 'product, stock, customer: asked for by changes. product, customer, document (what we posted): looked at in sweeps.';
COMMENT ON COLUMN catalogue_cursors.cursor IS '{"at": instant} or {"version": number}: changes up to there are stored. NULL: nothing was asked yet.';
COMMENT ON COLUMN catalogue_cursors.pull IS 'A pull that has not come to its end: what it asks for (since; null: everything), when it began, its next page.';
COMMENT ON COLUMN catalogue_cursors.next_pull_at IS 'NULL: never.';
COMMENT ON COLUMN catalogue_cursors.last_pull_at IS 'When a pull last came to its end.';
COMMENT ON COLUMN catalogue_cursors.last_full_run_at IS 'When everything there was last read (bootstrap).';
COMMENT ON COLUMN catalogue_cursors.failures IS 'Pulls that failed in a row: the wait grows from 1 to 60 minutes.';
COMMENT ON COLUMN catalogue_cursors.last_error IS 'Fixed code of the last failure; NULL once a page was stored.';
COMMENT ON COLUMN catalogue_cursors.skipped_budget IS 'Rounds that were left out because no call was left for them.';
COMMENT ON COLUMN catalogue_cursors.daily_cursor IS 'A copy of the cursor from daily_at, made anew after a day; former_cursor is the copy before.';
COMMENT ON COLUMN catalogue_cursors.former_cursor IS 'At least a day old: where the cursor goes back to when the feed of changes is suspect.';
COMMENT ON COLUMN catalogue_cursors.suspect_at IS 'When too much was found changed that the feed had not told, and the cursor went back.';
COMMENT ON COLUMN catalogue_cursors.fresh_within IS 'As configured when a process last started: the alarm''s limit; sweep_items looks every sweep_every.';
COMMENT ON COLUMN catalogue_cursors.epoch IS 'Raised by each lease; every write of its holder names it.';

CREATE TABLE catalogue_entities (
    sink               text        NOT NULL,
    kind               text        NOT NULL CHECK (kind IN ('product', 'stock', 'customer')),
    remote_id          text        NOT NULL,
    key                text,
    name               text,
    remote_version     text,
    remote_modified_at timestamptz,
    remote_state       text        NOT NULL CHECK (remote_state IN ('active', 'archived', 'deleted', 'missing')),
    fields_hash        text,
    first_seen_at      timestamptz NOT NULL,
    last_checked_at    timestamptz,
    last_changed_at    timestamptz,
    last_looked_at     timestamptz,
    last_drifted_at    timestamptz,
    check_failures     integer     NOT NULL DEFAULT 0,
    missed_at          timestamptz,
    errors             integer     NOT NULL DEFAULT 0,
    skip_until         timestamptz,
    wanted_at          timestamptz,
    PRIMARY KEY (sink, kind, remote_id),
    CHECK ((remote_state = 'missing') = (missed_at IS NOT NULL))
);

CREATE INDEX catalogue_wanted ON catalogue_entities (sink, kind, wanted_at) WHERE wanted_at IS NOT NULL;
CREATE INDEX links_remote ON links (sink, kind, remote_id) WHERE remote_id IS NOT NULL;

COMMENT ON TABLE catalogue_entities IS 'A copy of what destinations told of their products, stock and customers. It ages: last_checked_at says how much. Never written back.';
COMMENT ON COLUMN catalogue_entities.remote_id IS 'What documents name it by; stock has its product''s.';
COMMENT ON COLUMN catalogue_entities.key IS 'A product''s code; of a customer our own code for him, where he has one.';
COMMENT ON COLUMN catalogue_entities.name IS 'Of products. Customers have none: nothing personal is kept of them.';
COMMENT ON COLUMN catalogue_entities.remote_state IS 'active; archived, deleted (there, and not to be used); missing (a look did not find it).';
COMMENT ON COLUMN catalogue_entities.fields_hash IS 'SHA-256 over what counts as a change. NULL: it was never seen.';
COMMENT ON COLUMN catalogue_entities.last_checked_at IS 'The last definite answer about it.';
COMMENT ON COLUMN catalogue_entities.last_looked_at IS 'The last definite answer to a look, which nothing had announced.';
COMMENT ON COLUMN catalogue_entities.last_drifted_at IS 'When a look last found it changed: the feed of changes had not told.';
COMMENT ON COLUMN catalogue_entities.check_failures IS 'Looks in a row that did not find it, each long enough after the one before.';
COMMENT ON COLUMN catalogue_entities.missed_at IS 'The last of these.';
COMMENT ON COLUMN catalogue_entities.errors IS 'Looks in a row that got no answer; after three it is left alone until skip_until.';
COMMENT ON COLUMN catalogue_entities.wanted_at IS 'A person asked for a look, which comes before all others; NULL once there was one.';

CREATE TABLE document_checks (
    sink            text        NOT NULL,
    source          text        NOT NULL,
    order_id        text        NOT NULL,
    last_checked_at timestamptz NOT NULL,
    finding         text        CHECK (finding IN ('remote_edited', 'remote_missing', 'untold')),
    remote_minor    bigint,
    PRIMARY KEY (sink, source, order_id)
);

COMMENT ON TABLE document_checks IS 'What the destination last said of an order that we posted. Nothing is repaired.';
COMMENT ON COLUMN document_checks.finding IS 'NULL: it stands as posted. remote_edited: it is worth something else there; remote_missing: nothing of it stands; untold: nothing that can be counted.';
COMMENT ON COLUMN document_checks.remote_minor IS 'What it is worth there, in minor units.';

CREATE VIEW documents AS
SELECT d.sink, d.source, d.order_id, k.kind AS sink_kind,
       coalesce(x.document ->> 'kind', 'order') AS kind,
       coalesce((x.document ->> 'version')::bigint, d.applied_version) AS version,
       coalesce(x.document ->> 'id', d.external_id) AS remote_id,
       x.document ->> 'number' AS remote_number,
       coalesce((x.document ->> 'gross_minor')::bigint, (d.receipt #>> '{money,posted_minor}')::bigint) AS gross_minor,
       o.currency,
       coalesce(x.document ->> 'status', d.state) AS status,
       d.updated_at AS confirmed_at,
       c.last_checked_at,
       c.finding,
       c.remote_minor AS order_remote_minor
FROM sinks k -- few rows, and the way to the deliveries' key, which starts with the sink
JOIN deliveries d ON d.sink = k.name
JOIN orders o ON o.source = d.source AND o.order_id = d.order_id
LEFT JOIN LATERAL jsonb_array_elements(
    CASE WHEN jsonb_typeof(d.receipt -> 'documents') = 'array' THEN d.receipt -> 'documents' END) AS x (document) ON true
LEFT JOIN document_checks c ON c.sink = d.sink AND c.source = d.source AND c.order_id = d.order_id
WHERE k.carries_money AND d.receipt #>> '{money,posted_minor}' IS NOT NULL;

COMMENT ON VIEW documents IS 'What our receipts say that we posted: one row per document where a sink makes several of an order, else one per order; with what reading it back found.';
COMMENT ON COLUMN documents.gross_minor IS 'Of the document, in minor units; where it is one row per order, of the order.';
COMMENT ON COLUMN documents.finding IS 'About the whole order: see document_checks.';

CREATE VIEW catalogue_status AS
SELECT c.sink, c.kind, c.cursor,
       c.last_pull_at,
       CASE WHEN c.next_pull_at IS NOT NULL
            THEN extract(epoch FROM now() - coalesce(c.last_pull_at, c.registered_at))::bigint END AS pull_age_seconds,
       c.pull IS NOT NULL AS pull_unfinished,
       c.next_pull_at,
       c.last_full_run_at,
       c.last_sweep_at,
       c.next_sweep_at,
       c.failures,
       c.last_error,
       c.skipped_budget,
       c.suspect_at,
       coalesce(e.entities, 0) AS entities,
       coalesce(e.not_active, 0) AS not_active,
       coalesce(l.linked, 0) AS linked,
       coalesce(l.created, 0) AS created,
       coalesce(l.broken, 0) AS broken,
       e.oldest_check,
       round(ceil(l.linked::numeric / c.sweep_items) * extract(epoch FROM c.sweep_every) / 86400, 1) AS horizon_days,
       c.next_pull_at IS NOT NULL AND now() - coalesce(c.last_pull_at, c.registered_at) > c.fresh_within AS stale
FROM catalogue_cursors c
LEFT JOIN LATERAL (
    SELECT count(*) AS entities,
           count(*) FILTER (WHERE remote_state <> 'active') AS not_active,
           min(last_checked_at) FILTER (WHERE remote_state = 'active') AS oldest_check
    FROM catalogue_entities
    WHERE sink = c.sink AND kind = c.kind
) e ON true
LEFT JOIN LATERAL (
    SELECT count(DISTINCT remote_id) FILTER (WHERE broken_at IS NULL) AS linked,
           count(*) FILTER (WHERE how = 'created') AS created,
           count(*) FILTER (WHERE broken_at IS NOT NULL) AS broken
    FROM links
    WHERE sink = c.sink AND kind = c.kind AND remote_id IS NOT NULL
) l ON true;

COMMENT ON VIEW catalogue_status IS 'How fresh the copy of each destination''s products, stock and customers is. `scoffable-sync catalogue status` says the same.';
COMMENT ON COLUMN catalogue_status.pull_age_seconds IS 'Since a pull last came to its end, else since the sink was first seen. NULL: of this kind no changes are asked for.';
COMMENT ON COLUMN catalogue_status.horizon_days IS 'How long a full round of the sweep takes, at most.';
COMMENT ON COLUMN catalogue_status.linked IS 'Records that a sweep looks at, and that documents name.';

CREATE VIEW link_problems AS
SELECT l.sink, l.kind, l.local_key, l.remote_id, l.how, l.locked,
       CASE WHEN l.remote_id IS NULL THEN 'being_made'
            WHEN l.broken_at IS NOT NULL THEN 'broken'
            WHEN e.remote_state = 'missing' THEN 'missing'
            ELSE e.remote_state END AS problem,
       coalesce(l.broken_at, e.missed_at, e.last_changed_at, l.attempted_at) AS since,
       coalesce(e.check_failures, 0) AS looks_in_vain,
       CASE WHEN l.remote_id IS NULL THEN 'the record was begun to be made and is not known to be there: the next order that needs it looks again'
            WHEN l.broken_at IS NOT NULL THEN 'the record is gone there: link another (links set)'
            WHEN e.remote_state = 'missing' AND l.locked THEN 'the record is not found there, and the link is a person''s: correct it in the configuration, or by links set'
            WHEN e.remote_state = 'missing' THEN 'the record is not found there: the link breaks if it stays so'
            ELSE 'the record is there and not to be used: restore it, or link another (links set)' END AS hint
FROM links l
LEFT JOIN catalogue_entities e ON e.sink = l.sink AND e.kind = l.kind AND e.remote_id = l.remote_id
WHERE l.broken_at IS NOT NULL
   OR e.remote_state <> 'active'
   OR l.remote_id IS NULL AND l.attempted_at < now() - interval '1 hour';

COMMENT ON VIEW link_problems IS 'Links that documents cannot use, with what to do. Keys of customers are PERSONAL DATA where they are e-mail addresses.';

COMMENT ON COLUMN operator_actions.action IS 'retry, discard, adopt, replay, backfill, cancel (of a delivery); pause, resume (of a sink or source); rewind (of a source), quarantine_retry (of an order); link_set, link_lock, link_unlock, link_break, sync, bootstrap (of a sink); prune (a run, whose counts rise while it goes on).';
