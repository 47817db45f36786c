"""Random weights in the exact shape of a model, to measure speed and memory with.

What a card computes and moves does not depend on the values of weights, so tokens a second,
bytes and watts are the real model's. What such a model says is noise; its ``config.json``
says ``"synthetic": true``, and so does every report made with it.
"""

from workbench.models.synthesis.folder import FORMATS, synthesise

__all__ = ["FORMATS", "synthesise"]
