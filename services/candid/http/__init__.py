"""What the HTTP edges share: problem documents, bodies, cursors, and the Powertools wiring of a function."""
