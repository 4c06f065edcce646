"""The gallery: bookings, their photos and templates; enrolling them and searching them."""
