-- Says how stock is named that is kept in several places.

COMMENT ON COLUMN catalogue_entities.remote_id IS 'What documents name it by; stock has its product''s, behind a slash its place where it is kept in several.';
