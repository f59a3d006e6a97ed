-- What stands written down about a step, and what can come of looking it up.

COMMENT ON COLUMN deliveries.pending_step IS 'A step written down before it was sent, with its version, when it was sent first and last, under which lease, and its place where it shared a call. Nothing else is planned while it stands. May hold personal data.';
COMMENT ON COLUMN attempts.outcome IS 'delivered, retry, throttled, reject, blocked, unknown, unchanged, skipped, parked, lease_expired; of a look-up: found, not_found, absent (proven), ambiguous, look_up_failed.';
COMMENT ON COLUMN attempts.step IS 'Which effect was tried, or "look up" and which; NULL: a decision without a call.';
