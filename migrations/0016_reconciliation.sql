-- Money of every order in every sink that carries any: what is posted, what is pending, what is excluded, and what nothing
-- explains.

ALTER TABLE sinks ADD COLUMN carries_money boolean NOT NULL DEFAULT false;
UPDATE sinks SET carries_money = true WHERE kind IN ('spoton', 'scripted');
COMMENT ON COLUMN sinks.carries_money IS 'Whether what is posted there is worth something: then receipts say how much, and money_reconciliation has its orders.';

CREATE OR REPLACE VIEW money_reconciliation AS
SELECT k.name AS sink, o.source, o.order_id, d.applied_version AS version,
       coalesce(a.currency, o.currency)::char(3) AS currency,
       m.stands_minor AS source_total_minor,
       m.declared_minor,
       m.stands_minor + m.declared_minor AS expected_minor,
       m.posted_minor,
       x.difference_minor,
       CASE WHEN x.difference_minor = 0 THEN 'equal' ELSE 'differs' END AS verdict,
       d.state,
       d.notice,
       o.vendor_id,
       coalesce(o.placed_at, o.first_seen_at) AS placed_at,
       o.version AS newest_version,
       o.status AS newest_status,
       m.stated_minor AS newest_total_minor,
       s.pending_minor,
       s.pending_reason,
       s.excluded_minor,
       s.excluded_reason,
       p.goods_minor,
       p.offers_minor,
       p.vendor_vouchers_minor,
       p.adjustments_minor,
       p.refunds_minor,
       p.other_items_minor,
       p.fees_minor,
       p.goodwill_minor,
       m.stated_minor - p.sum_minor AS residual_minor,
       p.platform_vouchers_minor
FROM sinks k
CROSS JOIN orders o
JOIN order_versions v ON v.source = o.source AND v.order_id = o.order_id AND v.version = o.version
LEFT JOIN deliveries d ON d.sink = k.name AND d.source = o.source AND d.order_id = o.order_id
LEFT JOIN order_versions a ON a.source = d.source AND a.order_id = d.order_id AND a.version = d.applied_version
CROSS JOIN LATERAL (
    SELECT coalesce(o.total_minor, 0) AS stated_minor,
           CASE WHEN o.status = 'accepted' THEN coalesce(o.total_minor, 0) ELSE 0 END AS owed_minor,
           CASE WHEN a.status = 'accepted' THEN coalesce(a.total_minor, 0) ELSE 0 END AS stands_minor,
           coalesce((d.receipt #>> '{money,declared_minor}')::bigint, 0) AS declared_minor,
           coalesce((d.receipt #>> '{money,posted_minor}')::bigint, 0) AS posted_minor,
           d.state IN ('in_flight', 'in_doubt')
               OR coalesce(d.sent_version > coalesce(d.applied_version, d.sent_version - 1), false) AS under_way,
           CASE WHEN d.state IS NULL OR d.state = 'skipped' THEN NULL
                WHEN d.state = 'applied' THEN CASE WHEN d.applied_version < o.version THEN 'not_owed_yet' END
                WHEN d.state = 'pending' THEN coalesce(d.waiting_for, 'due')
                ELSE d.state END AS pending_reason
) m
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.pending_reason IS NULL THEN 0
                WHEN m.under_way THEN m.owed_minor + m.declared_minor - m.posted_minor
                ELSE m.owed_minor - m.stands_minor END AS pending_minor,
           m.pending_reason,
           CASE WHEN d.state IS NULL THEN m.stated_minor
                WHEN d.state = 'skipped' AND d.reason = 'unknown_status' AND m.under_way
                    THEN m.stated_minor + m.declared_minor - m.posted_minor
                WHEN d.state = 'skipped' THEN m.stated_minor - m.stands_minor
                ELSE m.stated_minor - m.owed_minor END AS excluded_minor,
           CASE WHEN d.state IS NULL THEN 'never_owed'
                WHEN d.state = 'skipped' THEN d.reason
                WHEN o.status = 'accepted' THEN NULL
                WHEN o.status = 'cancelled' THEN 'cancelled'
                WHEN o.status IN ('placed', 'rejected') THEN 'never_accepted'
                ELSE 'unknown_status' END AS excluded_reason
) s
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.stands_minor <> 0 AND a.currency <> o.currency THEN -m.stated_minor
                ELSE m.posted_minor + s.pending_minor + s.excluded_minor - m.stated_minor - m.declared_minor
           END AS difference_minor
) x
CROSS JOIN LATERAL (
    SELECT jsonb_typeof(v.breakdown -> 'items') = 'object' AND o.total_minor IS NOT NULL AS known
) b
CROSS JOIN LATERAL (
    SELECT CASE WHEN b.known THEN coalesce((v.breakdown #>> '{items,goods}')::bigint, 0) ELSE 0 END AS goods_minor,
           CASE WHEN b.known THEN coalesce((v.breakdown #>> '{items,offers}')::bigint, 0) ELSE 0 END AS offers_minor,
           CASE WHEN b.known THEN coalesce((v.breakdown #>> '{items,vouchers}')::bigint, 0) ELSE 0 END
               AS vendor_vouchers_minor,
           CASE WHEN b.known THEN coalesce((v.breakdown #>> '{items,adjustments}')::bigint, 0)
                                  - coalesce((v.breakdown #>> '{items,refunds}')::bigint, 0) ELSE 0 END AS adjustments_minor,
           CASE WHEN b.known THEN coalesce((v.breakdown #>> '{items,refunds}')::bigint, 0) ELSE 0 END AS refunds_minor,
           CASE WHEN b.known THEN coalesce((v.breakdown #>> '{items,other_items}')::bigint, 0) ELSE 0 END
               AS other_items_minor,
           CASE WHEN b.known THEN coalesce((v.breakdown ->> 'delivery_fee')::bigint, 0)
                                  + coalesce((v.breakdown ->> 'service_fee')::bigint, 0) ELSE 0 END AS fees_minor,
           CASE WHEN b.known THEN -coalesce((v.breakdown ->> 'goodwill')::bigint, 0) ELSE 0 END AS goodwill_minor,
           CASE WHEN b.known THEN coalesce((v.breakdown #>> '{items,supplied}')::bigint, 0)
                                  + coalesce((v.breakdown ->> 'delivery_fee')::bigint, 0)
                                  + coalesce((v.breakdown ->> 'service_fee')::bigint, 0)
                                  - coalesce((v.breakdown ->> 'goodwill')::bigint, 0) ELSE 0 END AS sum_minor,
           CASE WHEN o.total_minor IS NOT NULL
                THEN coalesce((v.breakdown #>> '{tenders,voucher}')::bigint, 0) ELSE 0 END AS platform_vouchers_minor
) p
WHERE k.carries_money;

COMMENT ON VIEW money_reconciliation IS 'Every order in every sink that carries money; amounts in minor units of currency. newest_total_minor + declared_minor = posted_minor + pending_minor + excluded_minor - difference_minor. `scoffable-sync reconcile` says the same.';
COMMENT ON COLUMN money_reconciliation.version IS 'What the destination is known to hold; NULL: nothing.';
COMMENT ON COLUMN money_reconciliation.source_total_minor IS 'What that version says has to stand there: its total, 0 where it is cancelled.';
COMMENT ON COLUMN money_reconciliation.declared_minor IS 'What the sink''s contract lets stand beside the total: goodwill, rounding.';
COMMENT ON COLUMN money_reconciliation.posted_minor IS 'What stands there, by our receipt.';
COMMENT ON COLUMN money_reconciliation.difference_minor IS 'What nothing explains: posted less expected, but for an order whose steps are under way, whose lack is pending.';
COMMENT ON COLUMN money_reconciliation.newest_total_minor IS 'What the newest known version states, whatever its status.';
COMMENT ON COLUMN money_reconciliation.pending_minor IS 'Owed and not there yet; negative where something has to be taken back.';
COMMENT ON COLUMN money_reconciliation.pending_reason IS 'What the delivery waits for, or in_flight, in_doubt, parked.';
COMMENT ON COLUMN money_reconciliation.excluded_minor IS 'Not owed to this sink.';
COMMENT ON COLUMN money_reconciliation.excluded_reason IS 'cancelled, never_accepted, never_owed (stored before the sink''s start), or why the delivery is skipped.';
COMMENT ON COLUMN money_reconciliation.goods_minor IS 'With the columns behind it up to residual_minor: what newest_total_minor is made of.';
COMMENT ON COLUMN money_reconciliation.goodwill_minor IS 'What the platform pays on top, which the total leaves out; negative.';
COMMENT ON COLUMN money_reconciliation.residual_minor IS 'What the order''s own lines do not explain.';
COMMENT ON COLUMN money_reconciliation.platform_vouchers_minor IS 'Tender by credit of the platform''s; lowers no total.';
