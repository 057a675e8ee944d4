"""The contracts for everybody: ``/openapi.json``, ``/asyncapi.json`` and a page of both."""

from talksy.transports.contracts.routes import setup_contracts

__all__ = ["setup_contracts"]
