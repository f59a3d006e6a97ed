-- How often the stream has refused the cursor: for all processes together, which take turns.

ALTER TABLE sources ADD COLUMN cursor_refusals int NOT NULL DEFAULT 0;

COMMENT ON COLUMN sources.cursor_refusals IS 'How often the stream has refused the stored cursor since a page was last read with it; after three it counts as dead.';
