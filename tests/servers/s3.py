"""As much of S3 as tests need: a signed request (AWS Signature Version 4) by hand."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class S3Error(Exception):
    pass


class S3:
    def __init__(self, endpoint: str, key: str, secret: str, region: str = "us-east-1"):
        self.host = urllib.parse.urlsplit(endpoint).netloc
        self.key, self.secret, self.region = key, secret, region

    def request(
        self,
        method: str,
        path: str,
        query: dict | None = None,
        body: bytes = b"",
        timeout: float = 30.0,
    ) -> bytes:
        """`path` begins with a slash: `/bucket/key`. Any answer but 2xx is an `S3Error`."""
        path = urllib.parse.quote(path, safe="/-_.~")
        query = "&".join(
            f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}"
            for k, v in sorted((query or {}).items())
        )
        headers = self._signed(method, path, query, body)
        connection = http.client.HTTPConnection(self.host, timeout=timeout)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise S3Error(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise S3Error(f"{method} {path}: {answer.status} {content[:500].decode(errors='replace')}")
        return content

    def _signed(self, method: str, path: str, query: str, body: bytes) -> dict[str, str]:
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = "\n".join([method, path, query, lines, names, digest])
        scope = f"{day}/{self.region}/s3/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashed])
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def make_bucket(self, bucket: str):
        """There afterwards, whether it was before or not."""
        try:
            self.request("PUT", f"/{bucket}")
        except S3Error as error:
            if "BucketAlreadyOwnedByYou" not in str(error):
                raise

    def get(self, bucket: str, key: str) -> bytes:
        return self.request("GET", f"/{bucket}/{key}")

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        found: list[str] = []
        query = {"list-type": "2", "prefix": prefix}
        while True:
            page = ElementTree.fromstring(self.request("GET", f"/{bucket}", query))
            found += [key.text or "" for key in page.iter(f"{_NAMESPACE}Key")]
            token = page.findtext(f"{_NAMESPACE}NextContinuationToken")
            if not token:
                return found
            query["continuation-token"] = token
