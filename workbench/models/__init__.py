"""Models on disk: which there are, what is in a folder, its tokenizer and its chat template."""
