-- Which alert an order waits under, so that the alert ends with the last of them.

ALTER TABLE deliveries ADD COLUMN held_for text;

COMMENT ON COLUMN deliveries.held_for IS 'Subject of the alert about what it waits for (waiting_for = configuration); stands until the next decision, also while that is made.';
