-- What people did by command: who, when and why. And from where a stream is read again.

CREATE TABLE operator_actions (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    who      text        NOT NULL,
    action   text        NOT NULL,
    sink     text,
    source   text,
    order_id text,
    why      text,
    detail   jsonb       NOT NULL DEFAULT '{}'
);

CREATE INDEX operator_actions_of_order ON operator_actions (source, order_id) WHERE order_id IS NOT NULL;

COMMENT ON TABLE operator_actions IS 'Every change that a person made by command, append-only; written in the statement that made it.';
COMMENT ON COLUMN operator_actions.who IS 'As the person, or the command''s environment, named them; not verified.';
COMMENT ON COLUMN operator_actions.action IS 'retry, discard, adopt (of a delivery); pause, resume (of a sink or source); rewind (of a source), quarantine_retry (of an order).';
COMMENT ON COLUMN operator_actions.order_id IS 'NULL: about the sink or source as a whole.';
COMMENT ON COLUMN operator_actions.why IS 'In the person''s own words.';
COMMENT ON COLUMN operator_actions.detail IS 'What it was before, and what was given; no personal data.';

ALTER TABLE sources ADD COLUMN rewind_to timestamptz;
COMMENT ON COLUMN sources.rewind_to IS 'While cursor is NULL: read again from here, -infinity being the oldest version there is. Cleared by the first page.';

CREATE OR REPLACE VIEW order_timeline AS
SELECT v.source, v.order_id, v.received_at AS at, 'source:' || v.source AS actor, 'version' AS event,
       jsonb_build_object('version', v.version, 'status', v.status, 'total_minor', v.total_minor, 'currency', v.currency,
                          'verdict', v.verdict) AS detail
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
COMMENT ON VIEW order_timeline IS 'Everything that happened to an order, read with ORDER BY at: versions, decisions, attempts, what people did, and where each delivery stands.';
