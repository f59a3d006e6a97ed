-- Which order of the destination an attempt was about, for those who look for it there.

ALTER TABLE attempts ADD COLUMN external_id text;

COMMENT ON COLUMN attempts.external_id IS 'What the destination calls the order that this had its effect on; NULL: it had none, or has no name there.';
COMMENT ON COLUMN attempts.outcome IS 'delivered, retry, throttled, blocked, reject, unknown, lease_expired; of a look-up: found, not_found, absent, ambiguous, look_up_failed; without a call: unchanged, skipped, parked, waits (once per version and reason).';
COMMENT ON COLUMN attempts.reason IS 'Fixed code: why it failed, was skipped or parked, or what it waits for.';

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
                          'response', a.response_excerpt, 'external_id', a.external_id))
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
