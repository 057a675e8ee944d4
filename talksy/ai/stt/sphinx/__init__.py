"""The recogniser that needs no key and no network: pocketsphinx, in processes of its own."""

from talksy.ai.stt.sphinx.pool import Pool, Unfit, Worker
from talksy.ai.stt.sphinx.sphinx import SphinxRecognizer

__all__ = ["Pool", "SphinxRecognizer", "Unfit", "Worker"]
