"""Amazon Rekognition's face API as a dialect of Candid's own: its operations, words, limits and errors. No rule of Candid's
lives here."""
