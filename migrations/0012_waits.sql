-- What a pending delivery can wait for since sinks wait for time and for a person.

COMMENT ON COLUMN deliveries.waiting_for IS 'retry, stability, dependency, counterpart, budget, breaker, shipment (the moment from which an order counts as shipped), grace (a cancellation that may still be taken back), confirmation (a person''s word that the sink may write); NULL: simply due.';
COMMENT ON COLUMN deliveries.reason IS 'Why it is skipped, parked, or in doubt: no_answer, or maybe_applied where the one repeat told nothing either.';
