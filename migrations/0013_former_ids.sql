-- What a destination called an order before stays that order's: a look-up that finds it must not take it for another's.

CREATE INDEX deliveries_former_ids ON deliveries USING gin ((receipt -> 'former_ids')) WHERE receipt ? 'former_ids';
