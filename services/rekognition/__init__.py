"""The function that speaks Amazon Rekognition's API."""
