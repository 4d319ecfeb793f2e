-- How a household's line reaches its network; null where nobody has said. Of a kind that no household has, the
-- observatory can say nothing, and says that.
ALTER TABLE claim ADD COLUMN access text CHECK (access IN ('fixed', 'mobile'));
ALTER TABLE probe ADD COLUMN access text CHECK (access IN ('fixed', 'mobile'));
