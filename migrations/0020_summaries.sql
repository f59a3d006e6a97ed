-- Documents of many orders: what each was closed with. A document is brought by a delivery of its own, which has its id in
-- place of an order's.

CREATE TABLE summaries (
    sink      text        NOT NULL,
    id        text        NOT NULL,
    source    text        NOT NULL,
    closed_at timestamptz NOT NULL,
    orders    bigint      NOT NULL CHECK (orders > 0),
    parts     jsonb       NOT NULL CHECK (jsonb_typeof(parts) = 'array'),
    PRIMARY KEY (sink, id)
);

COMMENT ON TABLE summaries IS 'Documents of many orders, for sinks that post those. Written once, when the document is closed, and never changed.';
COMMENT ON COLUMN summaries.id IS 'Name of the document: deliveries.order_id of its own delivery; a part of its number in the destination.';
COMMENT ON COLUMN summaries.source IS 'deliveries.source of its own delivery: that of one of its orders.';
COMMENT ON COLUMN summaries.orders IS 'How many orders are in it.';
COMMENT ON COLUMN summaries.parts IS 'source, order_id and version of each order in it, and what of it is the order''s (part: amounts in minor units).';
COMMENT ON COLUMN deliveries.waiting_for IS 'retry, stability, dependency, counterpart, budget, breaker, shipment (the moment from which an order counts as shipped), grace (a cancellation that may still be taken back), confirmation (a person''s word that the sink may write), configuration (settings here or at the destination that a person has to mend; an alert says which), summary (the document of many orders that it is a part of: its closing, then that it stands); NULL: simply due.';
