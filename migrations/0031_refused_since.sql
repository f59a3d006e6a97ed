-- Since when a destination refuses what an order needs: the sink tries it again by itself, but not for ever.

ALTER TABLE deliveries ADD COLUMN refused_since timestamptz;

COMMENT ON COLUMN deliveries.refused_since IS 'When the destination first refused a step of what is wanted now, which is tried again every few hours: a person may have mended the set-up there. Given up after retry.give_up_after. NULL once it stands, a newer version is wanted or a person said to retry.';
