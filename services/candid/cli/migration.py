"""Leaving Amazon Rekognition: what a collection there knows its faces by, and the photos enrolled anew.

Templates can't be taken out of Rekognition, and would be no good elsewhere. So a collection is listed, the original photos are
read from S3 under the names that its faces have there (ExternalImageId), and sent to Candid's IndexFaces. A photo that is there
already is left out, and the same photo sent twice is one: a run that was cut off is begun again."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from candid.cli.answers import Credentials
from candid.cli.problems import NotConfigured, NotThere, Refused

PLACE: Final = "{external_image_id}"
_LARGEST: Final = 4_400_000
"""Bytes of a photo that is sent; of a larger one Candid is told where it lies."""
_AHEAD: Final = 4
"""Photos that are begun at once, a worker."""
_ENDING: Final = frozenset({"AccessDeniedException", "UnrecognizedClientException", "ResourceNotFoundException"})
"""What no other photo would be spared."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A collection's faces: how many there are, how many of them have no ExternalImageId, of each id the most faces that one of
    its images has, and the ids that have several images."""

    faces: int
    unnamed: int
    wanted: Mapping[str, int]
    ambiguous: frozenset[str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the photos lie: a bucket, and a key that names a photo by its ExternalImageId."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """From ``s3://BUCKET/KEY``, where KEY has ``{external_image_id}`` once. Raises ``ValueError``."""
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket or key.count(PLACE) != 1:
            raise ValueError
        return cls(bucket, key)

    def of(self, external: str) -> str:
        """The key of a photo."""
        return self.key.replace(PLACE, external)


@dataclass(frozen=True, slots=True)
class Left:
    """A photo that was not enrolled, and why: a word and a sentence."""

    external: str
    reason: str
    sentence: str


@dataclass
class Tally:
    """What became of the photos."""

    ids: int = 0
    enrolled: int = 0
    faces: int = 0
    there: int = 0
    left: list[Left] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def done(self) -> int:
        """Photos of which it is known what became."""
        return self.enrolled + self.there + len(self.left)


def listed(rekognition: Any, collection: str) -> Listed:
    """What a collection of Rekognition's holds. Raises ``NotThere``, ``Refused``, ``NotConfigured``."""
    images: dict[str, Counter[str]] = defaultdict(Counter)
    faces = unnamed = 0
    for face in _faces(rekognition, collection):
        faces += 1
        if external := face.get("ExternalImageId"):
            images[external][face["ImageId"]] += 1
        else:
            unnamed += 1
    wanted = {external: max(of.values()) for external, of in images.items()}
    return Listed(faces, unnamed, wanted, frozenset(external for external, of in images.items() if len(of) > 1))


def _faces(rekognition: Any, collection: str) -> Iterator[Mapping[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        for page in rekognition.get_paginator("list_faces").paginate(CollectionId=collection):
            yield from page["Faces"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            raise NotThere(
                f"There is no collection {collection} there. Check its name, the Region and the account.", status=404
            ) from None
        raise Refused(
            f"Rekognition does not list the collection ({code}). Check that the credentials allow rekognition:ListFaces.",
            status=int(error.response["ResponseMetadata"]["HTTPStatusCode"]),
        ) from None
    except BotoCoreError as error:
        raise NotConfigured(
            f"Rekognition can't be asked ({type(error).__name__}). Set the Region, and the credentials of the account that has "
            "the collection (--source-profile)."
        ) from None


class Target:
    """Candid's Rekognition API as ``renew`` gives credentials for it, which are renewed before they end. For several threads."""

    def __init__(self, renew: Callable[[], Credentials], workers: int) -> None:
        self._renew, self._workers = renew, workers
        self._lock = threading.Lock()
        self._client: Any = None
        self._until = datetime.min.replace(tzinfo=UTC)

    def client(self) -> Any:
        """A client that can be used for a while."""
        import boto3
        from botocore.config import Config

        with self._lock:
            if datetime.now(UTC) >= self._until:
                told = self._renew()
                how = Config(retries={"mode": "standard", "total_max_attempts": 10}, max_pool_connections=self._workers)
                self._client = boto3.client(
                    "rekognition",
                    aws_access_key_id=told.access_key_id,
                    aws_secret_access_key=told.secret_access_key,
                    aws_session_token=told.session_token,
                    region_name=told.region,
                    endpoint_url=told.endpoint,
                    config=how,
                )
                self._until = told.expires_at - timedelta(minutes=5)
            return self._client


@dataclass(frozen=True, slots=True)
class Migration:
    """The use case: photos at ``address``, read with ``s3``, into ``collection`` of ``target``, by ``workers`` at a time."""

    s3: Any
    address: Address
    target: Target
    collection: str
    workers: int
    stop: threading.Event

    def run(self, what: Listed, watch: Callable[[Tally], None]) -> Tally:
        """Enrol what is not there yet; ``watch`` hears of it every second. Ctrl-C (or ``stop``) ends it with what is in hand.
        Raises ``Refused`` for what no photo would be spared."""
        self._make()
        there = {
            face["ExternalImageId"]
            for face in _faces(self.target.client(), self.collection)
            if "ExternalImageId" in face
        }
        tally = Tally(len(what.wanted), there=len(there & what.wanted.keys()))
        waiting = iter(sorted(what.wanted.keys() - there))
        going: set[Future[int | Left]] = set()
        with ThreadPoolExecutor(self.workers) as pool:
            while True:
                if not self.stop.is_set():
                    more = islice(waiting, self.workers * _AHEAD - len(going))
                    going |= {pool.submit(self._one, external, what.wanted[external]) for external in more}
                if not going:
                    return tally
                try:
                    done, going = wait(going, timeout=1, return_when=FIRST_COMPLETED)
                except KeyboardInterrupt:
                    self.stop.set()
                    continue
                for one in done:
                    self._count(tally, one)
                watch(tally)

    def _count(self, tally: Tally, one: Future[int | Left]) -> None:
        try:
            told = one.result()
        except Refused:
            # The others in hand would fare no better; what they did is done.
            self.stop.set()
            raise
        if isinstance(told, Left):
            tally.left.append(told)
            tally.reasons[told.reason] += 1
        else:
            tally.enrolled += 1
            tally.faces += told

    def _make(self) -> None:
        from botocore.exceptions import ClientError

        try:
            self.target.client().create_collection(CollectionId=self.collection)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise _refusal(error) from None

    def _one(self, external: str, wanted: int) -> int | Left:
        from botocore.exceptions import BotoCoreError, ClientError

        key = self.address.of(external)
        try:
            found = self.s3.get_object(Bucket=self.address.bucket, Key=key)
            if found["ContentLength"] > _LARGEST:
                found["Body"].close()
                image: dict[str, Any] = {"S3Object": {"Bucket": self.address.bucket, "Name": key}}
            else:
                image = {"Bytes": found["Body"].read()}
        except ClientError as error:
            code = error.response["Error"]["Code"]
            return Left(
                external,
                "NO_PHOTO",
                f"There is no photo at s3://{self.address.bucket}/{key}, or it may not be read ({code}).",
            )
        except BotoCoreError as error:
            return Left(external, "PHOTO_NOT_READ", f"S3 did not answer for the photo ({type(error).__name__}).")
        try:
            told = self.target.client().index_faces(
                CollectionId=self.collection, Image=image, ExternalImageId=external, MaxFaces=wanted
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _ENDING:
                raise _refusal(error) from None
            return Left(external, error.response["Error"]["Code"], error.response["Error"]["Message"])
        except BotoCoreError as error:
            return Left(external, "NO_ANSWER", f"Candid did not answer ({type(error).__name__}).")
        if told["FaceRecords"]:
            return len(told["FaceRecords"])
        reasons = sorted({reason for face in told["UnindexedFaces"] for reason in face["Reasons"]})
        return Left(external, "NO_FACE", f"No face of the photo was taken ({', '.join(reasons) or 'none was found'}).")


def _refusal(error: Any) -> Refused:
    told = error.response
    return Refused(
        told["Error"]["Message"], status=int(told["ResponseMetadata"]["HTTPStatusCode"]), kind=told["Error"]["Code"]
    )
