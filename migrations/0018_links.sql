-- Which record of ours is which record in a destination: one row per sink and key.

CREATE TABLE links (
    sink         text        NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('customer', 'product')),
    local_key    text        NOT NULL,
    remote_id    text,
    how          text        CHECK (how IN ('manual', 'id', 'email', 'code', 'name', 'created')),
    locked       boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL,
    attempted_at timestamptz,
    broken_at    timestamptz,
    PRIMARY KEY (sink, kind, local_key),
    CHECK ((remote_id IS NULL) = (how IS NULL)),
    CHECK (remote_id IS NOT NULL OR attempted_at IS NOT NULL),
    CHECK (NOT locked OR how = 'manual')
);

-- Many names may mean one product; a customer there is one of ours.
CREATE UNIQUE INDEX links_customer ON links (sink, remote_id) WHERE kind = 'customer' AND remote_id IS NOT NULL;

COMMENT ON TABLE links IS 'Which record of ours is which record in a destination. Keys of customers are PERSONAL DATA where they are e-mail addresses.';
COMMENT ON COLUMN links.kind IS 'customer or product.';
COMMENT ON COLUMN links.local_key IS 'A customer''s account id, else the e-mail in lower case; a product''s reference or barcode, else its normalised name.';
COMMENT ON COLUMN links.remote_id IS 'The destination''s id. NULL: it is being made there.';
COMMENT ON COLUMN links.how IS 'What the two were recognised by: manual (a person), id, email, code, name; or created, by us.';
COMMENT ON COLUMN links.locked IS 'A person made it: the program never changes it.';
COMMENT ON COLUMN links.attempted_at IS 'When a process last began to make the record; others leave that to it for a while.';
COMMENT ON COLUMN links.broken_at IS 'Since when the record is known to be gone there: the link is kept and not used.';
