"""Putting a photo's event aside with the reason why embed failed at it. SQS would move it as well, but without a word."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.errors import CandidError
from candid.gallery.dead_letters.letters import REASON, SENTENCE
from candid.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Aside:
    """The dead letters of the photos queue, which hands a message out ``receives`` times at most."""

    queue_url: str
    receives: int

    def is_last(self, receive_count: int) -> bool:
        """Whether a message that was handed out so often is not handed out again."""
        return receive_count >= self.receives

    def put(self, body: str, error: Exception) -> None:
        """Keep ``body``, and why. Raises ``DependencyUnavailable``, ``ClientError``: then the queue itself does, without why."""
        attributes = {REASON: reason(error), SENTENCE: sentence(error)}
        with dependency("the dead letters"):
            aws.sqs().send_message(
                QueueUrl=self.queue_url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )


def reason(error: Exception) -> str:
    """One word: AWS's for a refusal of AWS's, else the failure's class."""
    return (error_code(error) if isinstance(error, ClientError) else "") or type(error).__name__


def sentence(error: Exception) -> str:
    """Candid's own sentence; of other failures none, since a library's text can hold what was in the photo."""
    if isinstance(error, CandidError | SettingsError) and str(error):
        return str(error)
    if isinstance(error, ClientError):
        return "AWS refused a call of embed. Its log says where."
    return "Candid failed at this photo. The log of embed says where."
