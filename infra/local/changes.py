"""Changes that the local AWS had not delivered when it stopped: it does not keep a table's stream (AWS keeps it for a day).

A clerk's change and a note of it (``sk`` = ``CHANGE``) are one write, and whoever follows the change removes the note. So a note
that is there at a start is work left over; touching it brings it onto the stream again.
"""

from __future__ import annotations

import uuid

from infra.local.aws import client


def deliver_again(aws_url: str, table: str) -> int:
    """Touch every note in ``table``; returns how many there were."""
    dynamodb = client(aws_url, "dynamodb")
    notes = 0
    for page in dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="sk = :change",
        ExpressionAttributeValues={":change": {"S": "CHANGE"}},
        ProjectionExpression="pk, sk",
    ):
        for key in page["Items"]:
            dynamodb.update_item(
                TableName=table,
                Key=key,
                UpdateExpression="SET delivered_again = :once",
                ExpressionAttributeValues={":once": {"S": str(uuid.uuid4())}},
            )
            notes += 1
    return notes
