"""Avro: values on the source topic and on the published ones (docs/formats.md)."""
