"""Converting a model to EXL2: ExLlamaV2's own converter in a child process, on a GPU or a CPU."""
