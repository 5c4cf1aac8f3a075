"""What requests to a store and the bytes in it cost, at the list prices of one place and day."""

PRICES_ARE = "S3 standard, us-east-1, November 2026"
WRITE = 0.005 / 1000  # dollars a request: PUT, COPY and LIST
READ = 0.0004 / 1000  # GET and HEAD
STORED = 0.023 / 1e9  # a byte and month
REQUEST = {"put": WRITE, "copy": WRITE, "list": WRITE, "get": READ, "head": READ, "delete": 0.0}
TB = 1e12


def of_requests(requests):
    """Dollars for requests by operation, as loglake counts them."""
    return sum(REQUEST[operation] * count for operation, count in requests.items())


def per_tb(requests, bytes_in, bytes_stored):
    """Dollars for a TB of records as they came: the requests of their ingestion, and a month of what they became."""
    return of_requests(requests) * TB / bytes_in, bytes_stored * STORED * TB / bytes_in
