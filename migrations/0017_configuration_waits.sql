-- Orders can wait for a person who mends settings; they are not parked.

COMMENT ON COLUMN deliveries.waiting_for IS 'retry, stability, dependency, counterpart, budget, breaker, shipment (the moment from which an order counts as shipped), grace (a cancellation that may still be taken back), confirmation (a person''s word that the sink may write), configuration (settings here or at the destination that a person has to mend; an alert says which); NULL: simply due.';
