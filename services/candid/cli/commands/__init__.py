"""One file a command: options in, the API asked, the answer handed to ``rendering``."""
