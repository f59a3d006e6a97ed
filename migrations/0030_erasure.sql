-- What a person has erased: see `scoffable-sync erase`.

COMMENT ON COLUMN operator_actions.action IS 'retry, discard, adopt, replay, backfill, cancel (of a delivery); pause, resume (of a sink or source); rewind (of a source), quarantine_retry, erase (of an order; without one: of traces of a customer); link_set, link_lock, link_unlock, link_break, sync, bootstrap (of a sink); prune (a run, whose counts rise while it goes on).';
COMMENT ON COLUMN order_versions.payload IS 'The order exactly as received, JSON text. NULL once retention removed it, or a person erased it.';
COMMENT ON COLUMN quarantine.raw IS 'The bytes as received; they may hold personal data. Empty once the case is resolved and retention removed them, or a person erased them.';
