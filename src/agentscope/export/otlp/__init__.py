"""The way out over the network: OTLP, spans and metrics, HTTP or gRPC, encoded by ourselves."""
