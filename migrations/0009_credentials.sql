-- Refresh tokens that rotate: one row per sink, shared by every process.

CREATE TABLE credentials (
    sink               text        PRIMARY KEY,
    state              text        NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'needs_authorisation')),
    client             text        NOT NULL,
    seeds              text[]      NOT NULL,
    refresh_token      text        NOT NULL,
    refreshed_at       timestamptz NOT NULL,
    access_token       text,
    issued_at          timestamptz,
    expires_at         timestamptz,
    refresh_started_at timestamptz,
    unanswered         integer     NOT NULL DEFAULT 0 CHECK (unanswered >= 0),
    retry_at           timestamptz,
    lease_token        uuid,
    lease_expires_at   timestamptz,
    updated_at         timestamptz NOT NULL,
    CHECK ((access_token IS NULL) = (expires_at IS NULL) AND (access_token IS NULL) = (issued_at IS NULL)),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK (lease_token IS NULL OR (state = 'ok' AND refresh_started_at IS NOT NULL))
) WITH (fillfactor = 50);

COMMENT ON TABLE credentials IS 'OAuth credentials of sinks whose refresh token changes with every use. HOLDS SECRETS: grant nobody else SELECT on it, and keep it out of exports; a backup of it goes stale with the next refresh.';
COMMENT ON COLUMN credentials.state IS 'needs_authorisation: the refresh token is dead; a person authorises the application and brings a new one.';
COMMENT ON COLUMN credentials.client IS 'Fingerprint of the client id the token belongs to.';
COMMENT ON COLUMN credentials.seeds IS 'Fingerprints of the refresh tokens people brought; none is planted twice, so an old one left in a configuration does no harm.';
COMMENT ON COLUMN credentials.refresh_token IS 'SECRET. Stays the old one until its successor is stored.';
COMMENT ON COLUMN credentials.refreshed_at IS 'When refresh_token was received. It lapses when unused for long, so it is refreshed in time even where nothing is sent.';
COMMENT ON COLUMN credentials.access_token IS 'SECRET. Shared by all processes until expires_at.';
COMMENT ON COLUMN credentials.refresh_started_at IS 'Since when refresh_token is, or was, presented without an answer that could be kept: it may be used up.';
COMMENT ON COLUMN credentials.unanswered IS 'How many turns at this refresh_token ended without an answer.';
COMMENT ON COLUMN credentials.retry_at IS 'Nobody presents the token before.';
COMMENT ON COLUMN credentials.lease_token IS 'The turn of the process that presents the token now.';
