-- Every version of every order as received, and the newest known version of each order.

CREATE TABLE order_versions (
    source        text        NOT NULL,
    order_id      text        NOT NULL,
    version       bigint      NOT NULL,
    status        text        NOT NULL,
    vendor_id     text,
    order_type    text,
    placed_at     timestamptz,
    total_minor   bigint,
    currency      char(3),
    content_hash  bytea       NOT NULL,
    verdict       text        NOT NULL,
    breakdown     jsonb       NOT NULL,
    payload       text,
    castable      boolean     NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, order_id, version)
);

-- A server built without lz4 keeps its default compression: slower, and nothing else changes.
DO $$
BEGIN
    ALTER TABLE order_versions ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this server has no lz4; payloads keep the default compression';
END
$$;

COMMENT ON TABLE order_versions IS 'Every processed (order id, version), with the snapshot as received. Rows are never changed, except that retention empties payload.';
COMMENT ON COLUMN order_versions.order_id IS 'Text: the platform may change the format of ids.';
COMMENT ON COLUMN order_versions.total_minor IS 'Final amount of the order, in minor units of currency.';
COMMENT ON COLUMN order_versions.content_hash IS 'Digest of the content without latestVersion, independent of property order.';
COMMENT ON COLUMN order_versions.verdict IS 'balanced, balanced_on_item_totals, goodwill, unexplained or not_computable.';
COMMENT ON COLUMN order_versions.breakdown IS 'The money of this version, taken apart at ingest; amounts in minor units.';
COMMENT ON COLUMN order_versions.payload IS 'The order exactly as received, JSON text. NULL once retention removed it.';
COMMENT ON COLUMN order_versions.castable IS 'Whether payload can be cast to jsonb (a NUL escape or lone surrogate cannot).';

CREATE TABLE orders (
    source        text        NOT NULL,
    order_id      text        NOT NULL,
    version       bigint      NOT NULL,
    status        text        NOT NULL,
    vendor_id     text,
    order_type    text,
    placed_at     timestamptz,
    total_minor   bigint,
    currency      char(3),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, order_id)
) WITH (fillfactor = 70);

COMMENT ON TABLE orders IS 'The newest known version of each order, by version number.';
COMMENT ON COLUMN orders.total_minor IS 'Final amount of the newest version, in minor units of currency.';

CREATE TABLE quarantine (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source       text        NOT NULL,
    order_id     text,
    version      bigint,
    raw          bytea       NOT NULL,
    raw_hash     bytea       NOT NULL,
    reason       text        NOT NULL,
    detail       text,
    received_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    resolution   text
);

-- The same bytes for the same reason are one case, however often the page is read.
CREATE UNIQUE INDEX quarantine_once ON quarantine (source, raw_hash, reason);

COMMENT ON TABLE quarantine IS 'Orders that could not be taken in: undecodable, or the same version with another content. The stream went on without them.';
COMMENT ON COLUMN quarantine.raw IS 'The bytes as received; they may hold personal data.';
COMMENT ON COLUMN quarantine.reason IS 'Fixed code, for instance version_conflict.';
