"""The machinery of ``candid import``: rows in, bookings registered, photos uploaded, enrolment awaited."""
