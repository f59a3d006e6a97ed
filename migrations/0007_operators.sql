-- What people do, continued: the look-up behind adopt, late versions in the timeline, and what retention may remove.

-- "Is this id linked to another order?" A prefix, because an entry of an index has a largest size and foreign ids have
-- none. external_id changes only when a settle or an adoption names it for the first time, which moves `open` as well, so
-- a claim stays heap-only.
CREATE INDEX deliveries_external_id ON deliveries (sink, left(external_id, 200)) WHERE external_id IS NOT NULL;

CREATE VIEW owed_versions AS
SELECT d.sink, d.source, d.order_id,
       CASE k.versions_mode WHEN 'every' THEN greatest(d.decided_version + 1, d.floor_version, 0)
                            ELSE d.wanted_version END AS from_version
FROM sinks k -- few rows, and the way to the deliveries' key, which starts with the sink
JOIN deliveries d ON d.sink = k.name
WHERE d.state NOT IN ('applied', 'skipped');
COMMENT ON VIEW owed_versions IS 'Deliveries that are owed something or wait for a person, and the lowest version whose payload they may still need.';

CREATE TABLE housekeeping (
    task             text PRIMARY KEY,
    next_at          timestamptz NOT NULL,
    last_done_at     timestamptz,
    lease_owner      text,
    lease_expires_at timestamptz,
    CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL))
);
INSERT INTO housekeeping (task, next_at) VALUES ('prune', '-infinity');
COMMENT ON TABLE housekeeping IS 'What is done once in a while by one process of all: whoever leases the row does it.';
COMMENT ON COLUMN housekeeping.next_at IS 'When it is due next.';
COMMENT ON COLUMN housekeeping.lease_expires_at IS 'A process that died is replaced after this.';

COMMENT ON TABLE operator_actions IS 'Every change that a person made by command or over HTTP, written in the transaction that made it, and every run of retention. Never pruned.';
COMMENT ON COLUMN operator_actions.action IS 'retry, discard, adopt, replay, backfill (of a delivery); pause, resume (of a sink or source); rewind (of a source), quarantine_retry (of an order); prune (a run, whose counts rise while it goes on).';
COMMENT ON COLUMN operator_actions.order_id IS 'NULL: about the sink, the source or everything.';
COMMENT ON COLUMN quarantine.raw IS 'The bytes as received; they may hold personal data. Empty once the case is resolved and retention removed them.';
COMMENT ON COLUMN deliveries.priority IS '0 new order, 1 correction of an applied one, 2 backfill and replay.';

CREATE OR REPLACE VIEW order_timeline AS
SELECT v.source, v.order_id, v.received_at AS at, 'source:' || v.source AS actor, 'version' AS event,
       jsonb_build_object('version', v.version, 'status', v.status, 'total_minor', v.total_minor, 'currency', v.currency,
                          'verdict', v.verdict,
                          'late', EXISTS (SELECT FROM order_versions h
                                          WHERE h.source = v.source AND h.order_id = v.order_id
                                            AND h.version > v.version AND h.received_at < v.received_at)) AS detail
FROM order_versions v
UNION ALL
SELECT a.source, a.order_id, a.finished_at, 'sink:' || a.sink,
       CASE WHEN a.step IS NULL THEN 'decision' ELSE 'attempt' END,
       jsonb_strip_nulls(jsonb_build_object('version', a.version, 'attempt', a.attempt, 'step', a.step, 'outcome', a.outcome,
                          'http_status', a.http_status, 'reason', a.reason,
                          'duration_ms', (extract(epoch FROM a.finished_at - a.started_at) * 1000)::bigint,
                          'response', a.response_excerpt))
FROM attempts a
UNION ALL
SELECT q.source, q.order_id, q.received_at, 'source:' || q.source, 'quarantined',
       jsonb_strip_nulls(jsonb_build_object('id', q.id, 'version', q.version, 'reason', q.reason, 'detail', q.detail))
FROM quarantine q
WHERE q.order_id IS NOT NULL
UNION ALL
SELECT d.source, d.order_id, d.updated_at, 'sink:' || d.sink, 'state',
       jsonb_strip_nulls(jsonb_build_object('state', d.state, 'reason', d.reason, 'hint', d.hint, 'waiting_for', d.waiting_for,
                          'wanted_version', d.wanted_version, 'applied_version', d.applied_version,
                          'next_attempt_at', CASE WHEN d.open THEN d.next_attempt_at END, 'external_id', d.external_id,
                          'notice', d.notice))
FROM sinks k -- few rows, and the way to the deliveries' key, which starts with the sink
JOIN deliveries d ON d.sink = k.name
UNION ALL
SELECT o.source, o.order_id, o.at, 'operator:' || o.who, o.action,
       jsonb_strip_nulls(jsonb_build_object('sink', o.sink, 'why', o.why)) || o.detail
FROM operator_actions o
WHERE o.order_id IS NOT NULL;
COMMENT ON VIEW order_timeline IS 'Everything that happened to an order, read with ORDER BY at: versions (late: stored after a higher one), decisions, attempts, what people did, and where each delivery stands.';

-- Until now a dead letter's alert stood on after its delivery had moved.
UPDATE alerts a
SET resolved_at = now()
WHERE a.cause = 'dead_letter' AND a.resolved_at IS NULL AND a.subject LIKE '%/%/%'
  AND NOT EXISTS (SELECT FROM deliveries d
                  WHERE d.sink = split_part(a.subject, '/', 1) AND d.source = split_part(a.subject, '/', 2)
                    AND d.order_id = substr(a.subject, length(d.sink) + length(d.source) + 3)
                    AND d.dead);
