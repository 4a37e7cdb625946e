"""Who is asking: an API key becomes an `Identity`."""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Mapping

from gateway.errors import Code, RequestError
from gateway.types import Identity

_BUCKET = 8


class Identities:
    """The keys that are known, by SHA-256 of the whole key.

    A key has 128 random bits or more, so a plain hash cannot be guessed back; the slow hashes that protect
    passwords would cost tens of milliseconds per request. The first characters of the hash find the few
    candidates, and the whole of it is compared in constant time.
    """

    def __init__(self, by_hash: Mapping[str, Identity], anonymous: Identity | None) -> None:
        """`by_hash` maps hex digests to identities; `anonymous` is who asks without a key, None for nobody."""
        self._anonymous = anonymous
        self._buckets: dict[str, list[tuple[str, Identity]]] = defaultdict(list)
        for digest, identity in by_hash.items():
            self._buckets[digest[:_BUCKET]].append((digest, identity))

    def find(self, key: str | None) -> Identity:
        """The holder of `key`. Raises RequestError 401, which never repeats the key."""
        if self._anonymous is not None:
            return self._anonymous
        if not key:
            raise _refused("an API key is needed: send it as `Authorization: Bearer KEY`")
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        for known, identity in self._buckets.get(digest[:_BUCKET], ()):
            if hmac.compare_digest(known, digest):
                return identity
        raise _refused("this API key is not known here")


def _refused(message: str) -> RequestError:
    return RequestError(message, code=Code.INVALID_API_KEY, status=401)
