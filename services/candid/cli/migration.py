"""Leaving Amazon Rekognition: what a collection there knows its faces by, and the photos enrolled anew.

Templates can't be taken out of Rekognition, and would be no good elsewhere. So a collection is listed, the original photos are
read from S3 under the names that its faces have there (ExternalImageId), and sent to Candid's IndexFaces. Of a photo's faces
those stay that lie where the collection has them: others that are on it were nobody's to search. A photo that is there already
is left out, and the same photo sent twice is one: a run that was cut off is begun again."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from candid.cli.answers import Credentials
from candid.cli.problems import NotConfigured, NotThere, Refused, Unreachable
from candid.errors import CandidError

PLACE: Final = "{external_image_id}"
_LARGEST: Final = 4_400_000
"""Bytes of a photo that is sent; of a larger one Candid is told where it lies."""
_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds in which faces that were answered come to be enrolled."""
_DELETED: Final = 4_096
"""Faces of one DeleteFaces."""
_AHEAD: Final = 4
"""Photos that are begun at once, a worker."""
_ENDING: Final = frozenset(
    {
        "AccessDeniedException",
        "UnrecognizedClientException",
        "ResourceNotFoundException",
        # The user's limit of an hour: waiting is for whoever gave the command.
        "ProvisionedThroughputExceededException",
    }
)
"""What no other photo would be spared: by Candid …"""
_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
"""… and by S3."""
_ABSENT: Final = frozenset({"NoSuchKey", "AccessDenied", "404", "403"})
_SAME: Final = 0.3
"""Of two detectors' boxes of one face at least so much of their union is common."""

Box = tuple[float, float, float, float]
"""Left, top, width and height as shares of the image."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A collection's faces: how many there are, the ids of those that have no ExternalImageId, and of each ExternalImageId its
    images, with the boxes of each one's faces."""

    faces: int
    unnamed: Sequence[str]
    photos: Mapping[str, Sequence[Sequence[Box]]]

    @property
    def ambiguous(self) -> list[str]:
        """The ids that have several images."""
        return sorted(external for external, images in self.photos.items() if len(images) > 1)


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
    """A photo that was not enrolled (or a face of which nobody knows the photo), and why: a word and a sentence."""

    external: str
    reason: str
    sentence: str


@dataclass
class Tally:
    """What became of the photos."""

    ids: int = 0
    enrolled: int = 0
    faces: int = 0
    missing: int = 0
    """Faces of enrolled photos that the collection had and Candid did not find or take."""
    there: int = 0
    failure: CandidError | None = None
    """Why the run ended before all had been looked at."""
    unenrolled: int = 0
    left: list[Left] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def leave(self, one: Left) -> None:
        """Something was not taken along."""
        self.left.append(one)
        self.reasons[one.reason] += 1

    def done(self) -> int:
        """Photos of which it is known what became."""
        return self.enrolled + self.there + self.unenrolled


def listed(rekognition: Any, collection: str) -> Listed:
    """What a collection of Rekognition's holds. Raises ``NotThere``, ``Refused``, ``NotConfigured``."""
    images: dict[str, dict[str, list[Box]]] = defaultdict(lambda: defaultdict(list))
    faces, unnamed = 0, list[str]()
    for face in _faces(rekognition, collection, "Rekognition"):
        faces += 1
        if external := face.get("ExternalImageId"):
            images[external][face["ImageId"]].append(_box(face))
        else:
            unnamed.append(face["FaceId"])
    return Listed(faces, unnamed, {external: list(of.values()) for external, of in images.items()})


def _faces(rekognition: Any, collection: str, whose: str) -> Iterator[Mapping[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

    try:
        for page in rekognition.get_paginator("list_faces").paginate(CollectionId=collection):
            yield from page["Faces"]
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"]["Message"].rstrip(".")
        if code == "ResourceNotFoundException":
            raise NotThere(
                f"There is no collection {collection} there. Check its name, the Region and the account.", status=404
            ) from None
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        raise Refused(
            f"{whose} does not list the collection: {said} ({code}). Check its name, the Region, and that the credentials are "
            "right and allow rekognition:ListFaces.",
            status=status,
            kind=code,
        ) from None
    except (EndpointConnectionError, ConnectTimeoutError):
        raise Unreachable(f"{whose} does not answer at {rekognition.meta.endpoint_url}. Check the network.") from None
    except BotoCoreError as error:
        raise NotConfigured(
            f"{whose} can't be asked: {str(error).rstrip('.')}. Set the Region (--region) and the credentials (--source-profile)."
        ) from None


def _box(face: Mapping[str, Any]) -> Box:
    box = face["BoundingBox"]
    return box["Left"], box["Top"], box["Width"], box["Height"]


def same(records: Sequence[Mapping[str, Any]], images: Sequence[Sequence[Box]]) -> tuple[set[str], int]:
    """The ids of those of an answer's ``FaceRecords`` that are faces of the image that they fit best, and how many it has."""
    best: tuple[set[str], int] = set(), max(map(len, images))
    for boxes in images:
        found = {
            like["Face"]["FaceId"]
            for box in boxes
            if (like := max(records, key=lambda one: _overlap(_box(one["Face"]), box), default=None))
            and _overlap(_box(like["Face"]), box) >= _SAME
        }
        if len(found) > len(best[0]):
            best = found, len(boxes)
    return best


def _overlap(one: Box, other: Box) -> float:
    """What two boxes have in common, as a share of what they cover together: 0 to 1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(width, 0.0) * max(height, 0.0)
    return common / max(one[2] * one[3] + other[2] * other[3] - common, 1e-9)


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
    """The use case: photos at ``address``, read with ``s3``, into ``collection`` of ``target``, by ``workers`` at a time.
    ``booked`` gives the numbers of the collection's bookings, whose faces have them for their ExternalImageIds too."""

    s3: Any
    address: Address
    target: Target
    collection: str
    booked: Callable[[], Collection[str]]
    workers: int
    stop: threading.Event

    def run(self, what: Listed, watch: Callable[[Tally], None]) -> Tally:
        """Enrol what is not there yet; ``watch`` hears of it every second. Ctrl-C (or ``stop``) ends it with what is in hand, and
        so does a failure that no photo would be spared. Raises ``Refused`` before the first photo."""
        self._make()
        there: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for face in _faces(self.target.client(), self.collection, "Candid"):
            if (external := str(face.get("ExternalImageId", ""))) in what.photos:
                there[external].append({"Face": face})
        booked = self.booked() if there else frozenset()
        tally = Tally(len(what.photos))
        for name in what.unnamed:
            tally.leave(Left("", "NO_EXTERNAL_IMAGE_ID", f"Nothing says which photo face {name} is from."))
        for external in what.ambiguous:
            others = len(what.photos[external]) - 1
            tally.leave(
                Left(external, "SEVERAL_IMAGES", f"{others} more with this id; the photo under it is one of them.")
            )
        waiting = iter(sorted(what.photos))
        going: set[Future[tuple[int, int] | Left | None]] = set()

        def begin(external: str) -> tuple[int, int] | Left | None:
            if external in booked:
                return _booked(external)
            return self._asked(external, what.photos[external], there.get(external, []))

        with ThreadPoolExecutor(self.workers) as pool:
            while True:
                try:
                    if not self.stop.is_set():
                        more = islice(waiting, self.workers * _AHEAD - len(going))
                        going |= {pool.submit(begin, one) for one in more}
                    if not going:
                        return tally
                    done, going = wait(going, timeout=1, return_when=FIRST_COMPLETED)
                    for one in done:
                        self._count(tally, one)
                    watch(tally)
                except KeyboardInterrupt:
                    self.stop.set()
                if self.stop.is_set():
                    going = {one for one in going if not one.cancel()}

    def _asked(
        self, external: str, images: Sequence[Sequence[Box]], known: Sequence[Mapping[str, Any]]
    ) -> tuple[int, int] | Left | None:
        """As ``_one``; None where the photo's faces are there already. An earlier run may have been cut off before it took out
        those that the collection had not."""
        from botocore.exceptions import BotoCoreError, ClientError

        kept, _ = same(known, images)
        try:
            if not kept:
                return self._one(external, images)
            return self._take_out(external, [face for one in known if (face := one["Face"]["FaceId"]) not in kept])
        except ClientError as error:
            if error.response["Error"]["Code"] in _ENDING:
                raise _refusal(error) from None
            return Left(external, error.response["Error"]["Code"], error.response["Error"]["Message"])
        except BotoCoreError as error:
            return Left(external, "NO_ANSWER", f"Candid did not answer ({type(error).__name__}).")

    def _take_out(self, external: str, faces: Sequence[str]) -> Left | None:
        """Delete faces that are on a photo and nobody's of the collection; what is left of it, where some stay. One that was
        answered a moment ago may not be enrolled yet."""
        left, pauses = list(faces), iter(_PAUSES)
        while left:
            told = self.target.client().delete_faces(CollectionId=self.collection, FaceIds=left[:_DELETED])
            gone = set(told.get("DeletedFaces", ()))
            left = [face for face in left if face not in gone]
            if left and not gone:
                if (pause := next(pauses, None)) is None:
                    return Left(
                        external, "OTHERS_STAY", f"{len(left)} other faces of the photo could not be taken out yet."
                    )
                time.sleep(pause)
        return None

    def _count(self, tally: Tally, one: Future[tuple[int, int] | Left | None]) -> None:
        try:
            told = one.result()
        except CandidError as failure:
            # The others would fare no better.
            self.stop.set()
            tally.failure = tally.failure or failure
            return
        if told is None:
            tally.there += 1
        elif isinstance(told, Left):
            tally.leave(told)
            tally.unenrolled += 1
        else:
            tally.enrolled += 1
            tally.faces += told[0]
            tally.missing += told[1]

    def _make(self) -> None:
        from botocore.exceptions import ClientError

        try:
            self.target.client().create_collection(CollectionId=self.collection)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise _refusal(error) from None

    def _one(self, external: str, images: Sequence[Sequence[Box]]) -> tuple[int, int] | Left:
        """How many faces were enrolled, and how many are missing; or why none."""
        image = self._image(external)
        if isinstance(image, Left):
            return image
        told = self.target.client().index_faces(CollectionId=self.collection, Image=image, ExternalImageId=external)
        kept, had = same(told["FaceRecords"], images)
        others = [face for record in told["FaceRecords"] if (face := record["Face"]["FaceId"]) not in kept]
        if (stay := self._take_out(external, others)) is not None:
            return stay
        if kept:
            return len(kept), had - len(kept)
        if others:
            return Left(
                external,
                "OTHER_FACES",
                "No face of the photo lies where the collection has one: it may be another photo.",
            )
        reasons = sorted({reason for face in told["UnindexedFaces"] for reason in face["Reasons"]})
        return Left(external, "NO_FACE", f"No face of the photo was taken ({', '.join(reasons) or 'none was found'}).")

    def _image(self, external: str) -> dict[str, Any] | Left:
        from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

        key = self.address.of(external)
        where = f"s3://{self.address.bucket}/{key}"
        try:
            found = self.s3.get_object(Bucket=self.address.bucket, Key=key)
            if found["ContentLength"] <= _LARGEST:
                return {"Bytes": found["Body"].read()}
            found["Body"].close()
            return {"S3Object": {"Bucket": self.address.bucket, "Name": key}}
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _CREDENTIALS:
                raise NotConfigured(
                    f"S3 does not take the credentials any more ({code}). Get new ones, and give the same command again."
                ) from None
            if code == "NoSuchBucket":
                raise NotThere(f"There is no bucket {self.address.bucket}. Check --photos.", status=404) from None
            if code in _ABSENT:
                return Left(external, "NO_PHOTO", f"There is no photo at {where}, or it may not be read ({code}).")
            return Left(external, "PHOTO_NOT_READ", f"S3 did not give {where} ({code}).")
        except (EndpointConnectionError, ConnectTimeoutError):
            raise Unreachable(f"S3 does not answer at {self.s3.meta.endpoint_url}. Check the network.") from None
        except BotoCoreError as error:
            return Left(external, "PHOTO_NOT_READ", f"S3 did not give {where} ({type(error).__name__}).")


def _booked(external: str) -> Left:
    return Left(
        external,
        "BOOKING_OF_THAT_NUMBER",
        "The collection has a booking of that number. Look whether it is the same person.",
    )


def _refusal(error: Any) -> Refused:
    told = error.response
    return Refused(
        told["Error"]["Message"], status=int(told["ResponseMetadata"]["HTTPStatusCode"]), kind=told["Error"]["Code"]
    )
