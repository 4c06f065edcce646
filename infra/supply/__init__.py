"""What Candid is made of besides its own code: pinned by hash, with known licences, looked up for known flaws, and listed."""
