"""The embedded demonstration model: weights, tokenizer, recipe and model card of a small Llama.

It stands in for Llama-3.1-Nemotron-Nano-8B-v1 where the real weights are absent: the same prompt
format and the same thinking toggle, on sums that are too long to be done in one step.
"""
