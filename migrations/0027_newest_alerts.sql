-- The newest open alerts are read with every look at the page: without sorting all there are.

CREATE INDEX alerts_newest ON alerts (raised_at, id) WHERE resolved_at IS NULL;
