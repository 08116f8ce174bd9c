-- Records before this offset are to become dead letters.
ALTER TABLE streams ADD COLUMN park_to INTEGER;
