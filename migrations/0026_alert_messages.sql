-- Messages about alerts: what people are told, by which way, and whether it got there.

ALTER TABLE alerts ADD COLUMN told_in uuid, ADD COLUMN ended_in uuid;

CREATE INDEX alerts_untold ON alerts (cause) WHERE told_in IS NULL AND resolved_at IS NULL;
CREATE INDEX alerts_unended ON alerts (cause) WHERE told_in IS NOT NULL AND ended_in IS NULL AND resolved_at IS NOT NULL;
CREATE INDEX alerts_unsent ON alerts (told_in) WHERE told_in IS NOT NULL AND sent_at IS NULL;

COMMENT ON COLUMN alerts.subject IS 'What it is about: a source, a sink, or something inside one (SINK/SOURCE/ORDER). Nothing personal.';
COMMENT ON COLUMN alerts.count IS 'How often it was raised while it stood.';
COMMENT ON COLUMN alerts.told_in IS 'The message that tells of it. NULL: none does yet, or it ended before one did.';
COMMENT ON COLUMN alerts.ended_in IS 'The message that tells of its end.';
COMMENT ON COLUMN alerts.sent_at IS 'When the message that tells of it first got somewhere.';

CREATE TABLE alert_messages (
    id          uuid        PRIMARY KEY,
    cause       text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('raised', 'resolved')),
    composed_at timestamptz NOT NULL,
    subjects    bigint      NOT NULL CHECK (subjects > 0),
    times       bigint      NOT NULL,
    listed      jsonb       NOT NULL
);

CREATE INDEX alert_messages_newest ON alert_messages (cause, kind, composed_at);

COMMENT ON TABLE alert_messages IS 'What people are told: one message for all alerts of a cause that came together. Written once; sent with its id as key.';
COMMENT ON COLUMN alert_messages.subjects IS 'Alerts that it tells of.';
COMMENT ON COLUMN alert_messages.times IS 'How often these had been raised by then.';
COMMENT ON COLUMN alert_messages.listed IS 'The first of them: subject, detail, count, raised_at, resolved_at.';

CREATE TABLE alert_sends (
    message_id      uuid        NOT NULL REFERENCES alert_messages ON DELETE CASCADE,
    channel         text        NOT NULL CHECK (channel IN ('email', 'webhook')),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    last_error      text,
    sent_at         timestamptz,
    PRIMARY KEY (message_id, channel)
);

CREATE INDEX alert_sends_open ON alert_sends (channel, next_attempt_at) WHERE sent_at IS NULL;

COMMENT ON TABLE alert_sends IS 'The duty to bring a message to a channel: at least once, tried again until it got there.';
COMMENT ON COLUMN alert_sends.attempts IS 'Raised by each claim, and the claim''s fence.';
COMMENT ON COLUMN alert_sends.next_attempt_at IS 'A claim moves it on by its lease: a process that died is replaced then.';
COMMENT ON COLUMN alert_sends.last_error IS 'Fixed code of the last failure.';

INSERT INTO housekeeping (task, next_at) VALUES ('alerts', '-infinity'), ('ping', '-infinity');
