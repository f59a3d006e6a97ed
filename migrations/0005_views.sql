-- What people read. These names and columns are an interface.

CREATE VIEW sync_status AS
SELECT s.name AS source,
       s.state,
       s.reason,
       s.hint,
       s.last_error,
       extract(epoch FROM now() - s.cursor_at)::bigint AS cursor_age_seconds,
       extract(epoch FROM now() - coalesce(s.caught_up_at, s.created_at))::bigint AS lag_seconds,
       s.last_poll_at,
       s.last_success_at,
       s.next_poll_at,
       s.versions,
       s.duplicates,
       s.throttled,
       (SELECT count(*) FROM quarantine q WHERE q.source = s.name AND q.resolved_at IS NULL) AS quarantined,
       s.cursor
FROM sources s;
COMMENT ON VIEW sync_status IS 'How each order stream fares. lag_seconds: time since the stream last said that nothing more is ready.';

CREATE VIEW sink_status AS
SELECT k.name AS sink,
       k.kind,
       k.state,
       k.reason,
       k.hint,
       k.breaker,
       coalesce(d.pending, 0) AS pending,
       coalesce(d.in_flight, 0) AS in_flight,
       coalesce(x.in_doubt, 0) AS in_doubt,
       coalesce(x.parked, 0) AS parked,
       extract(epoch FROM now() - d.oldest_due)::bigint AS oldest_pending_seconds,
       k.last_success_at,
       k.activated_at
FROM sinks k
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
           count(*) FILTER (WHERE state = 'in_flight') AS in_flight,
           least(min(next_attempt_at) FILTER (WHERE state = 'pending'), now()) AS oldest_due
    FROM deliveries
    WHERE open AND sink = k.name
) d ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt,
           count(*) FILTER (WHERE state = 'parked') AS parked
    FROM deliveries
    WHERE dead AND sink = k.name
) x ON true;
COMMENT ON VIEW sink_status IS 'How each destination fares. oldest_pending_seconds: how long the oldest due delivery has been due.';

CREATE VIEW delivery_queue AS
SELECT sink, source, order_id, state, wanted_version, applied_version, lane, priority, attempts,
       next_attempt_at,
       next_attempt_at <= now() AS due,
       waiting_for, last_error, lease_owner, lease_expires_at
FROM deliveries
WHERE open AND state IN ('pending', 'in_flight');
COMMENT ON VIEW delivery_queue IS 'Deliveries that are due, scheduled or being sent, and what they wait for.';

CREATE VIEW dead_letters AS
SELECT sink, source, order_id, state, wanted_version, applied_version, reason, hint, last_error, attempts,
       next_attempt_at AS next_look_at,
       first_failed_at,
       updated_at AS since,
       extract(epoch FROM now() - updated_at)::bigint AS age_seconds
FROM deliveries
WHERE dead;
COMMENT ON VIEW dead_letters IS 'Deliveries that wait for a person (parked) or for certainty (in_doubt).';

CREATE VIEW order_timeline AS
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
JOIN deliveries d ON d.sink = k.name;
COMMENT ON VIEW order_timeline IS 'Everything that happened to an order, read with ORDER BY at: versions, decisions, attempts, and where each delivery stands.';

CREATE VIEW order_payloads AS
SELECT source, order_id, version, status, received_at,
       CASE WHEN castable THEN payload::jsonb END AS payload
FROM order_versions;
COMMENT ON VIEW order_payloads IS 'Payloads as jsonb for people''s queries; NULL where retention removed one or it is no valid jsonb. Holds personal data.';

CREATE VIEW order_items AS
SELECT o.source, o.order_id, o.version, o.status, o.vendor_id, o.placed_at, i.line,
       i.item ->> 'id' AS item_id,
       i.item ->> 'name' AS name,
       i.item ->> 'type' AS item_type,
       coalesce(i.item ->> 'quantityOrdered', i.item ->> 'quantity')::numeric AS quantity_ordered,
       coalesce(i.item ->> 'quantityFulfilled', i.item ->> 'quantity')::numeric AS quantity_fulfilled,
       (i.item #>> '{price,amount}')::numeric AS price_minor,
       (i.item #>> '{total,amount}')::numeric AS total_minor,
       i.item #>> '{price,currency}' AS currency
FROM orders o
JOIN order_payloads p ON p.source = o.source AND p.order_id = o.order_id AND p.version = o.version
CROSS JOIN LATERAL jsonb_array_elements(
    CASE WHEN jsonb_typeof(p.payload -> 'items') = 'array' THEN p.payload -> 'items' ELSE '[]' END
) WITH ORDINALITY AS i (item, line);
COMMENT ON VIEW order_items IS 'Lines of each order''s newest version. What was supplied is quantity_fulfilled; total_minor is the platform''s own figure.';

CREATE VIEW order_payments AS
SELECT o.source, o.order_id, o.version, o.status, o.vendor_id, o.placed_at, i.line,
       i.payment ->> 'type' AS payment_type,
       i.payment ->> 'collectedBy' AS collected_by,
       (i.payment #>> '{payment,amount}')::numeric AS amount_minor,
       i.payment #>> '{payment,currency}' AS currency
FROM orders o
JOIN order_payloads p ON p.source = o.source AND p.order_id = o.order_id AND p.version = o.version
CROSS JOIN LATERAL jsonb_array_elements(
    CASE WHEN jsonb_typeof(p.payload -> 'customerPayments') = 'array' THEN p.payload -> 'customerPayments' ELSE '[]' END
) WITH ORDINALITY AS i (payment, line);
COMMENT ON VIEW order_payments IS 'Tenders of each order''s newest version.';

CREATE VIEW money_reconciliation AS
SELECT d.sink, d.source, d.order_id, d.applied_version AS version, m.currency,
       m.source_total_minor,
       m.declared_minor,
       m.source_total_minor + m.declared_minor AS expected_minor,
       m.posted_minor,
       m.posted_minor - (m.source_total_minor + m.declared_minor) AS difference_minor,
       CASE WHEN m.posted_minor = m.source_total_minor + m.declared_minor THEN 'equal' ELSE 'differs' END AS verdict
FROM deliveries d
JOIN order_versions v ON v.source = d.source AND v.order_id = d.order_id AND v.version = d.applied_version
CROSS JOIN LATERAL (
    SELECT v.currency,
           CASE WHEN v.status = 'cancelled' THEN 0 ELSE v.total_minor END AS source_total_minor,
           coalesce((d.receipt #>> '{money,declared_minor}')::bigint, 0) AS declared_minor,
           (d.receipt #>> '{money,posted_minor}')::bigint AS posted_minor
) m
WHERE d.receipt ? 'money';
COMMENT ON VIEW money_reconciliation IS 'Per (sink, order) that carries money: what the applied version says, what the sink''s contract declares beside it, and what was posted.';
