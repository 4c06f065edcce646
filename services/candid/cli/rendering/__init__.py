"""What a person reads: answers as tables and sentences. Pure: nothing here asks the API."""
