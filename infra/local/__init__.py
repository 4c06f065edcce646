"""Candid on one machine, without Docker: the template deployed to a local AWS, and a process in the place of the container image.

Nothing here is part of what runs on AWS.
"""
