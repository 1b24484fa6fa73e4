"""What all stand-ins share: the request log, faults on purpose, the control API, the server."""
