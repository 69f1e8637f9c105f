"""Under which addresses clients on this machine reach a bridge with these settings."""

from bridge.config.settings import Config


def http_endpoint(config: Config) -> str:
    """The base address of OTLP over HTTP."""
    return _endpoint(config, config.port)


def grpc_endpoint(config: Config) -> str | None:
    """That of OTLP over gRPC; None when it is turned off."""
    return _endpoint(config, config.grpc_port) if config.grpc_port else None


def _endpoint(config: Config, port: int) -> str:
    # 0.0.0.0 and :: are addresses to listen on, not to post to.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104
    scheme = "http" if config.tls_cert is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
