-- Call budgets of sinks: more windows, calls reserved in blocks, and what the other side told us about its limits.

ALTER TABLE call_budgets
    DROP CONSTRAINT call_budgets_window_check,
    ADD CONSTRAINT known_window CHECK ("window" IN ('minute', 'five_minutes', 'hour', 'day', 'month')),
    ADD COLUMN calls             bigint[]    NOT NULL DEFAULT '{}',
    ADD COLUMN background        bigint[]    NOT NULL DEFAULT '{}',
    ADD COLUMN max_calls         bigint,
    ADD COLUMN full_until        timestamptz,
    ADD COLUMN learned_remaining bigint,
    ADD COLUMN learned_spent     bigint      NOT NULL DEFAULT 0,
    ADD COLUMN learned_until     timestamptz,
    ADD COLUMN closed_until      timestamptz,
    ADD COLUMN revision          bigint      NOT NULL DEFAULT 0;

COMMENT ON TABLE call_budgets IS 'Calls reserved against foreign limits. Scope: source:NAME, account:NAME; sink:NAME or sink:NAME/LANE. A scope without a limit has no row.';
COMMENT ON COLUMN call_budgets.window_start IS 'A month (UTC) has a row of its own; every other window keeps one row (epoch) with a sliding log.';
COMMENT ON COLUMN call_budgets.used IS 'Sinks: calls within the window when the row was last written. Sources: calls ever.';
COMMENT ON COLUMN call_budgets.recent IS 'Sliding log: when calls were reserved. For sinks rounded up to a sixtieth of the window; a month has one entry.';
COMMENT ON COLUMN call_budgets.calls IS 'Sinks: how many calls each entry of recent stands for.';
COMMENT ON COLUMN call_budgets.background IS 'Sinks: how many of these were pulls, sweeps or verification.';
COMMENT ON COLUMN call_budgets.max_calls IS 'Most calls the window may hold, as of the last write: the lower of setting, learned limit and, for a day, the month''s share.';
COMMENT ON COLUMN call_budgets.full_until IS 'While this is in the future, nothing is sent in this scope: the window holds all it may, or the other side refused more.';
COMMENT ON COLUMN call_budgets.learned_remaining IS 'What the other side last said is left.';
COMMENT ON COLUMN call_budgets.learned_spent IS 'Calls that learned_remaining may not know of yet.';
COMMENT ON COLUMN call_budgets.learned_until IS 'When what was learned is forgotten: the window begins anew there.';
COMMENT ON COLUMN call_budgets.closed_until IS 'The other side refused more calls until then (429).';
COMMENT ON COLUMN call_budgets.revision IS 'Fence: a write names the revision it has read.';

-- New columns stand last: a view can be replaced only so.
CREATE OR REPLACE VIEW sink_status AS
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
       k.activated_at,
       b.budget_full_until
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
) x ON true
LEFT JOIN LATERAL (
    SELECT max(c.full_until) AS budget_full_until
    FROM call_budgets c
    WHERE (c.scope = 'sink:' || k.name OR starts_with(c.scope, 'sink:' || k.name || '/')) AND c.full_until > now()
) b ON true;
COMMENT ON VIEW sink_status IS 'How each destination fares. oldest_pending_seconds: how long the oldest due delivery has been due. budget_full_until: the sink, or a lane of it, has no call left until then.';

CREATE OR REPLACE VIEW delivery_queue AS
SELECT sink, source, order_id, state, wanted_version, applied_version, lane, priority, attempts,
       next_attempt_at,
       next_attempt_at <= now() AS due,
       coalesce(waiting_for,
                CASE WHEN state = 'pending' AND next_attempt_at <= now()
                          AND EXISTS (SELECT FROM call_budgets b
                                      WHERE b.scope IN ('sink:' || sink, 'sink:' || sink || '/' || lane)
                                        AND b.full_until > now())
                     THEN 'budget' END) AS waiting_for,
       last_error, lease_owner, lease_expires_at
FROM deliveries
WHERE open AND state IN ('pending', 'in_flight');
COMMENT ON VIEW delivery_queue IS 'Deliveries that are due, scheduled or being sent, and what they wait for; budget: due, and no call is left.';
