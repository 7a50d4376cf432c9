"""The inference client: servers, requests, batching, retries, transports, and the producer built on it."""

if __name__ == "sonic_client":
    raise ImportError("import this package as evproc.sonic_client, not as sonic_client")
