"""A real MinIO on loopback."""

from __future__ import annotations

import os

from . import build
from .process import LOOPBACK, Place, Server, ServerError, free_port
from .s3 import S3, S3Error

KEY, SECRET = "loglake", "loglake-secret"
REGION = "us-east-1"


class Minio(Server):
    name = "minio"

    def __init__(
        self,
        folder,
        port: int | None = None,
        data: str | os.PathLike | None = None,
        place: Place = LOOPBACK,
    ):
        super().__init__(folder, place)
        self.port = port or free_port()
        self.data = data or self.folder / "data"
        self.endpoint = f"http://{place.host}:{self.port}"

    def command(self):
        if not build.minio().exists():
            raise ServerError("MinIO is not built: python3 -m servers build")
        console = f"{self.place.host}:{free_port()}"
        address = f"{self.place.host}:{self.port}"
        return [
            str(build.minio()), "server", str(self.data), "--address", address,
            "--console-address", console, "--quiet",
        ]  # fmt: skip

    def environment(self):
        return {
            "MINIO_ROOT_USER": KEY,
            "MINIO_ROOT_PASSWORD": SECRET,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }

    def ready(self):
        # Its health endpoint says yes a moment before it takes requests: a request tells.
        try:
            self.s3.request("GET", "/", timeout=1.0)
        except (OSError, S3Error):
            return False
        return True

    @property
    def s3(self) -> S3:
        return S3(self.endpoint, KEY, SECRET, REGION)

    def client_environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a client of this MinIO (or of a proxy before it) reads from its environment."""
        return client_environment(endpoint or self.endpoint)


def client_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }
