-- Call budgets shared by all processes, and what people were told.

CREATE TABLE call_budgets (
    scope         text        NOT NULL,
    "window"      text        NOT NULL CHECK ("window" IN ('minute', 'hour', 'day', 'month')),
    window_start  timestamptz NOT NULL,
    used          bigint      NOT NULL DEFAULT 0,
    learned_limit bigint,
    recent        timestamptz[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (scope, "window", window_start)
) WITH (fillfactor = 50);

COMMENT ON TABLE call_budgets IS 'Calls reserved against foreign limits. Scope: source:NAME, account:NAME, sink:NAME/LANE. A scope without a limit has no row.';
COMMENT ON COLUMN call_budgets.window_start IS 'Start of the window; a minute keeps one row (epoch) with a sliding log instead.';
COMMENT ON COLUMN call_budgets.learned_limit IS 'Limit the other side told us, where it is lower than the configured one.';
COMMENT ON COLUMN call_budgets.recent IS 'Sliding log of the calls within the last minute, so that no 60 seconds hold more than the limit.';

CREATE TABLE alerts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause        text        NOT NULL,
    subject      text        NOT NULL,
    detail       text,
    count        bigint      NOT NULL DEFAULT 1,
    raised_at    timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    sent_at      timestamptz,
    resolved_at  timestamptz
);

CREATE UNIQUE INDEX alerts_open ON alerts (cause, subject) WHERE resolved_at IS NULL;

COMMENT ON TABLE alerts IS 'What a person should know, one open row per cause and subject.';
COMMENT ON COLUMN alerts.cause IS 'Fixed code, for instance source_parked, unknown_status, dead_letter.';
